/**
 * Loaded before the relay's own code (`--preload`), in its process: makes what a loop calls throw, as a bug would. What
 * to do stands in TEST_FAULTS, as JSON.
 */
export type Fault =
  /** So many calls of a function of the runtime throw, where a line of the stack matches. */
  | { readonly kind: "call"; readonly api: FaultyApi; readonly within: string; readonly times: number }
  /** Workers of this script end: by an error of their own, or as where the system takes their thread away. */
  | {
      readonly kind: "worker";
      readonly script: string;
      readonly how: "throw" | "terminate";
      readonly afterMs: number;
    }
  /** Nothing catches it. With `sinceWorker`, counted from when a Worker of this script is started. */
  | {
      readonly kind: "throw" | "reject";
      readonly afterMs: number;
      readonly everyMs?: number;
      readonly sinceWorker?: string;
    };

export type FaultyApi =
  | "AbortController"
  | "AbortSignal.throwIfAborted"
  | "Date.now"
  | "Math.random"
  | "performance.now";

/** What a message may have in it that must not be shown. */
export const FAULT_KEY = "secret-in-an-error-0123456789abcdef";
export const FAULT_MESSAGE = `made up at https://user:pass@cdn.example/v2/download_config_specs/${FAULT_KEY}.json and ${FAULT_KEY}`;

const faults: readonly Fault[] = JSON.parse(process.env["TEST_FAULTS"] ?? "[]");
const left = new Map(faults.map((fault) => [fault, fault.kind === "call" ? fault.times : 0]));
/** Each ends the first Worker of its script alone. */
const ended = new Set<Fault>();
let isLooking = false;

function mayThrow(api: FaultyApi): void {
  if (
    isLooking ||
    ![...left].some(([fault, times]) => fault.kind === "call" && fault.api === api && times > 0)
  )
    return;
  isLooking = true;
  try {
    const { stack = "" } = new Error("here");
    for (const [fault, times] of left) {
      if (fault.kind !== "call" || fault.api !== api || times === 0 || !new RegExp(fault.within).test(stack))
        continue;
      left.set(fault, times - 1);
      throw new RangeError(FAULT_MESSAGE);
    }
  } finally {
    isLooking = false;
  }
}

function patch<T extends object, K extends keyof T>(owner: T, name: K, api: FaultyApi): void {
  const original = owner[name] as (...args: unknown[]) => unknown;
  const faulty = function (this: unknown, ...args: unknown[]) {
    mayThrow(api);
    return original.apply(this, args);
  };
  Object.defineProperty(owner, name, { value: faulty, configurable: true, writable: true });
}

if (left.size > 0 && Bun.isMainThread) {
  patch(Date, "now", "Date.now");
  patch(Math, "random", "Math.random");
  patch(performance, "now", "performance.now");
  patch(AbortSignal.prototype, "throwIfAborted", "AbortSignal.throwIfAborted");
  globalThis.AbortController = class extends AbortController {
    constructor() {
      mayThrow("AbortController");
      super();
    }
  };
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      super(script, options);
      for (const fault of faults) {
        if (fault.kind === "call") continue;
        if (fault.kind !== "worker") {
          if (fault.sinceWorker !== undefined && String(script).includes(fault.sinceWorker)) arm(fault);
          continue;
        }
        if (!String(script).includes(fault.script)) continue;
        // What waits for calls expects no such message.
        const end = () => (fault.how === "terminate" ? this.terminate() : this.postMessage(undefined));
        if (!ended.has(fault)) setTimeout(end, fault.afterMs);
        ended.add(fault);
      }
    }
  };
  for (const fault of faults) {
    if ((fault.kind === "throw" || fault.kind === "reject") && fault.sinceWorker === undefined) arm(fault);
  }
}

function arm({ kind, afterMs, everyMs }: Extract<Fault, { kind: "throw" | "reject" }>): void {
  const act = () => {
    if (kind === "throw") throw new RangeError(FAULT_MESSAGE);
    void Promise.reject(new RangeError(FAULT_MESSAGE));
  };
  // At once is before whatever is being started has ended.
  if (afterMs === 0) queueMicrotask(act);
  else setTimeout(act, afterMs).unref();
  if (everyMs !== undefined) setInterval(act, everyMs).unref();
}

/** For the environment of a relay's process. */
export const faultEnv = (...wanted: readonly Fault[]): Readonly<Record<string, string>> => ({
  BUN_OPTIONS: `--preload=${import.meta.path}`,
  TEST_FAULTS: JSON.stringify(wanted),
});
