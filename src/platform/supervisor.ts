import { setTimeout as timeout } from "node:timers/promises";
import type { Clock } from "./clock.ts";

interface SupervisorOptions {
  readonly clock: Clock;
  readonly emit: EmitSupervisionEvent;
}

export type Round = (worked: () => void) => Promise<void>;

/** After the first failure; each further one in a row doubles it. */
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

/**
 * Runs what nobody waits for. An error that nobody expected neither ends it nor goes unnoticed: it is reported, and a
 * loop goes on after a delay. Errors that are expected are the loop's own matter.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  /** How many loops of each name fail now. */
  readonly #failing = new Map<LoopName, number>();
  #instances = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /**
   * Runs rounds, one after the other, until `signal` is aborted; a round must wait for something. The first begins at
   * once. One that throws is reported and followed by the next after 1 s, then 2 s, up to 60 s, as long as they throw
   * in a row. A loop works again when a round ends, or before that says `worked`: for rounds that wait for long after
   * their work. What a round throws after the abort is taken for its way to end. Never rejects.
   */
  async loop(name: LoopName, signal: AbortSignal, round: Round): Promise<void> {
    const instance = ++this.#instances;
    let failures = 0;
    const worked = () => {
      if (failures > 0) this.#recovered(name, instance);
      failures = 0;
    };
    while (!signal.aborted) {
      try {
        await round(worked);
        worked();
      } catch (error) {
        if (signal.aborted) break;
        if (failures === 0) this.#failing.set(name, (this.#failing.get(name) ?? 0) + 1);
        const retryInMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** failures++);
        const failing = this.#failing.get(name) ?? 0;
        this.#emit({
          kind: "loop_failed",
          loop: name,
          instance,
          failing,
          retryInMs,
          ...describeError(error),
        });
        await this.#pause(retryInMs, signal);
      }
    }
    worked();
  }

  /** Does something once. What it throws is reported; never rejects. */
  async task(name: TaskName, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.caught(name, error);
    }
  }

  /** Reports an error that was caught elsewhere. */
  caught(task: TaskName, error: unknown): void {
    this.#emit({ kind: "task_failed", task, ...describeError(error) });
  }

  #recovered(loop: LoopName, instance: number): void {
    const failing = Math.max(0, (this.#failing.get(loop) ?? 0) - 1);
    this.#failing.set(loop, failing);
    this.#emit({ kind: "loop_recovered", loop, instance, failing });
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, signal);
    } catch {
      // Also a clock that is at fault must not make this a loop without a pause.
      if (!signal.aborted) await timeout(ms, undefined, { signal }).catch(() => {});
    }
  }

  /** A fault in what reports faults must not end what is supervised. */
  #emit(event: Parameters<EmitSupervisionEvent>[0]): void {
    try {
      this.#options.emit(event);
    } catch {
      // There is nobody left to tell.
    }
  }
}

/** What runs in the background of every relay, or of one with certain options: each by a fixed name. */
export type LoopName =
  | "backup_upkeep"
  | "certificate_expiry"
  | "event_forwarding"
  | "event_spool_opening"
  | "file_watch"
  | "id_list_polls"
  | "local_backup_opening"
  | "metric_push"
  | "redis_leader_key"
  | "redis_subscription"
  | "request_rates"
  | "service_manager"
  | "spec_polls";

/** What is done once, and nobody waits for; or what is caught where nothing else would hear of it. */
type TaskName =
  | "backup_writes"
  | "config_reload"
  | "event_delivery"
  | "event_spool_worker"
  | "event_worker"
  | "fleet_notices"
  | "http_request"
  | "id_list_files"
  | "local_backup_worker"
  | "metric_sink"
  | "payload_worker"
  | "rpc"
  | "telemetry"
  | "uncaught_exception"
  | "unhandled_rejection";

/** An error that nobody expected, for people: no SDK key, no URL's path, no password in it. */
export interface DescribedError {
  /** One line: the name of the error and its message. */
  readonly detail: string;
  /** `file:line:column` of the code that threw, where that is known. */
  readonly at: string | undefined;
}

/** Errors that are bugs, as far as the relay goes on after them. */
export type SupervisionEvent =
  /** A loop threw; it goes on. `instance` tells apart the loops of one name, of which `failing` fail now. */
  | ({
      readonly kind: "loop_failed";
      readonly loop: LoopName;
      readonly instance: number;
      readonly failing: number;
      readonly retryInMs: number;
    } & DescribedError)
  /** It works again, or is no longer needed. */
  | {
      readonly kind: "loop_recovered";
      readonly loop: LoopName;
      readonly instance: number;
      readonly failing: number;
    }
  /** What was being done is not done. */
  | ({ readonly kind: "task_failed"; readonly task: TaskName } & DescribedError);

type EmitSupervisionEvent = (event: SupervisionEvent) => void;

/** How an error came to the end of the process's own code with nobody to catch it. */
type FaultKind = "uncaught_exception" | "unhandled_rejection";

export type ReportFault = (kind: FaultKind, error: unknown) => void;

/** Errors that nothing caught; without this Bun prints a stack of the code, and may end the process. */
export interface ProcessFaults {
  /** From now on they are reported here, and no longer to who was told before. */
  reportTo(report: ReportFault): void;
}

export function listenForFaults(first: ReportFault): ProcessFaults {
  let report = first;
  const tell = (kind: FaultKind) => (error: unknown) => {
    try {
      report(kind, error);
    } catch {
      // An error from here would be one of these again, without an end.
    }
  };
  process.on("uncaughtException", tell("uncaught_exception"));
  process.on("unhandledRejection", tell("unhandled_rejection"));
  return {
    reportTo: (next) => {
      report = next;
    },
  };
}

const MAX_DETAIL_CHARS = 300;

/** The path of a URL of upstream holds the SDK key, and what is before an @ is a password. */
const URLS = /\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/"'@]*@)?([^\s/"'?#)]*)[^\s"')]*/gi;

/** Paths of the HTTP API without a host before them. */
const API_PATHS = /\/v[12]\/[^\s"')]*/g;

/** Any text as long as a key, and no word: those of Statsig, whatever their prefix, passwords, tokens, base64. */
const LONG_TOKENS = /(?=[\w+=-]*\d)(?=[\w+=-]*[a-z])[\w+=-]{20,}/gi;
const PREFIXED_KEYS = /\b(secret|client|console)-[\w-]+/g;

/** Puts an error, or whatever else was thrown, into words that may be logged. */
export function describeError(error: unknown): DescribedError {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${textOf(error)}`;
  const { code } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  const withCode = typeof code === "string" && !text.includes(code) ? `${text} (${code})` : text;
  return { detail: redacted(withCode), at: originOf(error) };
}

function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return typeof thrown;
  }
}

function redacted(text: string): string {
  const masked = text
    .replaceAll(/\s+/g, " ")
    .replaceAll(URLS, "$1$2/…")
    .replaceAll(API_PATHS, "/…")
    .replaceAll(PREFIXED_KEYS, "$1-…")
    .replaceAll(LONG_TOKENS, "…")
    .trim();
  return masked.length > MAX_DETAIL_CHARS ? `${masked.slice(0, MAX_DETAIL_CHARS)}…` : masked;
}

/** The first line of the stack that has a place: of its path only the end, since the rest is the machine's. */
function originOf(error: unknown): string | undefined {
  const { stack } = error instanceof Error ? error : {};
  if (typeof stack !== "string") return undefined;
  for (const line of stack.split("\n")) {
    const [, place] = /^\s+at (?:.*?\()?([^()\s]+:\d+:\d+)\)?$/.exec(line) ?? [];
    if (place !== undefined && !place.startsWith("node:")) return place.split("/").slice(-2).join("/");
  }
  return undefined;
}
