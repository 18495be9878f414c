import { existsSync } from "node:fs";
import { FROM_SOURCES, isMainThread, preloadEnv, withPreload } from "./preload.ts";

/**
 * Injects faults into a relay: loaded by `--preload` before its own code, it makes functions of the runtime throw as a bug
 * would. TEST_FAULTS contains the faults as JSON.
 */
export type Fault =
  /** The first `times` calls of a runtime function throw on each thread if the stack matches `within`. */
  | { readonly kind: "call"; readonly api: FaultyApi; readonly within: string; readonly times: number }
  /** The first Worker of this script ends, by an error or by `terminate`, or its event loop stops for ever. */
  | {
      readonly kind: "worker";
      readonly script: string;
      readonly how: "throw" | "terminate" | "hang";
      readonly afterMs: Moment;
    }
  /** The event loop of the main thread stops until this file exists, and for `maxMs` at most. */
  | {
      readonly kind: "block";
      readonly untilFile: string;
      readonly maxMs: number;
      readonly afterMs: Moment;
    }
  /** An error that nothing catches. With `sinceWorker`, the time counts from the start of a Worker of this script. */
  | {
      readonly kind: "throw" | "reject";
      readonly afterMs: Moment;
      readonly everyMs?: number;
      readonly sinceWorker?: string;
    };

/** A time in ms, or a signal to the process, for a fault that must wait for something. */
type Moment = number | NodeJS.Signals;

export type FaultyApi =
  | "AbortController"
  | "AbortSignal.throwIfAborted"
  | "Date.now"
  | "Math.random"
  | "performance.now";

/** Secrets in the error message, which the relay must not show. */
export const FAULT_KEY = "secret-in-an-error-0123456789abcdef";
export const FAULT_MESSAGE = `made up at https://user:pass@cdn.example/v2/download_config_specs/${FAULT_KEY}.json and ${FAULT_KEY}`;

/** A message on which a Worker hangs. */
const HANG = "hang";

const faults: readonly Fault[] = JSON.parse(process.env["TEST_FAULTS"] ?? "[]");
const isHang = (fault: Fault) => fault.kind === "worker" && fault.how === "hang";
const isCall = (fault: Fault) => fault.kind === "call";
const left = new Map(faults.map((fault) => [fault, fault.kind === "call" ? fault.times : 0]));
/** Faults that have ended a Worker. */
const ended = new Set<Fault>();
let isInMayThrow = false;

function mayThrow(api: FaultyApi): void {
  if (
    isInMayThrow ||
    ![...left].some(([fault, times]) => fault.kind === "call" && fault.api === api && times > 0)
  )
    return;
  isInMayThrow = true;
  try {
    const { stack = "" } = new Error("here");
    for (const [fault, times] of left) {
      if (fault.kind !== "call" || fault.api !== api || times === 0 || !new RegExp(fault.within).test(stack))
        continue;
      left.set(fault, times - 1);
      throw new RangeError(FAULT_MESSAGE);
    }
  } finally {
    isInMayThrow = false;
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

if (!isMainThread && faults.some(isHang)) {
  globalThis.addEventListener("message", ({ data }: MessageEvent) => {
    while (data === HANG);
  });
}

if (faults.some(isCall)) {
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
}

if (faults.length > 0 && isMainThread) {
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      // A Worker does not load what `--preload` names.
      const loadsFaults = faults.some((fault) => isHang(fault) || isCall(fault));
      super(...(loadsFaults ? withPreload(import.meta.url, script, options) : ([script, options] as const)));
      for (const fault of faults) {
        if (fault.kind === "call" || fault.kind === "block") continue;
        if (fault.kind !== "worker") {
          if (fault.sinceWorker !== undefined && String(script).includes(fault.sinceWorker)) arm(fault);
          continue;
        }
        if (!String(script).includes(fault.script)) continue;
        const end = () => {
          if (fault.how === "terminate") this.terminate();
          // The Worker throws on a message that is not a call.
          else this.postMessage(fault.how === "hang" ? HANG : undefined);
        };
        if (!ended.has(fault)) schedule(end, fault.afterMs);
        ended.add(fault);
      }
    }
  };
  for (const fault of faults) {
    if (fault.kind === "block") schedule(() => block(fault), fault.afterMs);
    if ((fault.kind === "throw" || fault.kind === "reject") && fault.sinceWorker === undefined) arm(fault);
  }
}

/** Stops the event loop of this thread. */
function block({ untilFile, maxMs }: Extract<Fault, { kind: "block" }>): void {
  const LOOK_EVERY_MS = 20;
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const looks = maxMs / LOOK_EVERY_MS;
  for (let look = 0; look < looks && !existsSync(untilFile); look++) Atomics.wait(cell, 0, 0, LOOK_EVERY_MS);
}

function arm({ kind, afterMs, everyMs }: Extract<Fault, { kind: "throw" | "reject" }>): void {
  const act = () => {
    if (kind === "throw") throw new RangeError(FAULT_MESSAGE);
    void Promise.reject(new RangeError(FAULT_MESSAGE));
  };
  const begin = () => {
    if (everyMs !== undefined) setInterval(act, everyMs).unref();
    act();
  };
  // A microtask runs before the start is complete.
  if (afterMs === 0) queueMicrotask(begin);
  else schedule(begin, afterMs);
}

function schedule(act: () => void, moment: Moment): void {
  if (typeof moment === "number") setTimeout(act, moment).unref();
  else process.once(moment, act);
}

/** Returns environment variables for a relay process with these faults. */
export const faultEnv = (...wanted: readonly Fault[]): Readonly<Record<string, string>> => ({
  ...preloadEnv(import.meta.url),
  TEST_FAULTS: JSON.stringify(wanted),
  // Calls are found by the names of files and functions.
  ...(wanted.some(isCall) && { [FROM_SOURCES]: "1" }),
});
