import { maskSdkKey } from "../../access/sdk-key.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { RelayEvent } from "../telemetry.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** One line a happening: a message that is always the same, and what varies as fields, in snake_case. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

interface LineLoggerOptions {
  readonly format: LogFormat;
  /** The least that is written. */
  readonly level: LogLevel;
}

/** Writes what happens as lines. */
export class LineLogger implements Logger {
  readonly #write: (line: string) => void;
  #options: LineLoggerOptions;

  constructor(write: (line: string) => void, options: LineLoggerOptions) {
    this.#write = write;
    this.#options = options;
  }

  /** From now on in this way. */
  reconfigure(options: LineLoggerOptions): void {
    this.#options = options;
  }

  /** Whether such lines are written. */
  writes(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.#options.level);
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (!this.writes(level)) return;
    const line = this.#options.format === "json" ? jsonLine : textLine;
    this.#write(`${line(level, message, fields)}\n`);
  }
}

/** For people: `2026-01-02T03:04:05.678Z INFO  serving mode=http`. */
function textLine(level: LogLevel, message: string, fields: LogFields): string {
  const words = [new Date().toISOString(), level.toUpperCase().padEnd(5), message];
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) words.push(`${snakeCase(name)}=${quote(String(value))}`);
  }
  return words.join(" ");
}

/** For machines: `{"time":"2026-01-02T03:04:05.678Z","level":"info","message":"serving","mode":"http"}`. */
function jsonLine(level: LogLevel, message: string, fields: LogFields): string {
  const named = Object.entries(fields).map(([name, value]) => [snakeCase(name), value] as const);
  return JSON.stringify({ time: new Date().toISOString(), level, message, ...Object.fromEntries(named) });
}

/** Events have names as code has them. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Quoted where a value would not read as one word; a line stays one line. */
function quote(value: string): string {
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

/** All but those whose fields are not for people. */
export type DebugEvent = Exclude<RelayEvent, { readonly kind: "spec_updated" }>;

const ABSENT = { feed: undefined, sdkKey: undefined, tookMs: undefined };

/** An event as one line of `--debug-logging`: its kind in words, and its fields; no SDK key whole. */
export function debugLine(logger: Logger, event: DebugEvent): void {
  const { kind, feed, sdkKey, tookMs, ...fields } = { ...ABSENT, ...event };
  logger.log("debug", kind.replaceAll("_", " "), {
    ...fields,
    ...(feed !== undefined && { feed: describeFeed(feed) }),
    ...(sdkKey !== undefined && { sdk_key: maskSdkKey(sdkKey) }),
    ...(tookMs !== undefined && { took_ms: Number(tookMs.toFixed(3)) }),
  });
}
