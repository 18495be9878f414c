import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import { describeFeed, type Feed } from "../../specs/feed.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Writes one line per event: a constant message, and what varies as fields in snake_case. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

interface LineLoggerOptions {
  readonly format: LogFormat;
  /** The lowest level that is written. */
  readonly level: LogLevel;
}

/** Formats log lines and passes them to a function that writes them. */
export class LineLogger implements Logger {
  readonly #write: (line: string) => void;
  #options: LineLoggerOptions;

  constructor(write: (line: string) => void, options: LineLoggerOptions) {
    this.#write = write;
    this.#options = options;
  }

  /** Changes format and level for the lines that follow. */
  reconfigure(options: LineLoggerOptions): void {
    this.#options = options;
  }

  /** Whether lines of this level are written. */
  writes(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.#options.level);
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (!this.writes(level)) return;
    const line = this.#options.format === "json" ? jsonLine : textLine;
    this.#write(`${line(level, message, fields)}\n`);
  }
}

/** Example: `2026-01-02T03:04:05.678Z INFO  serving mode=http`. */
function textLine(level: LogLevel, message: string, fields: LogFields): string {
  const words = [new Date().toISOString(), level.toUpperCase().padEnd(5), message];
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) words.push(`${snakeCase(name)}=${quote(String(value))}`);
  }
  return words.join(" ");
}

/** Example: `{"time":"2026-01-02T03:04:05.678Z","level":"info","message":"serving","mode":"http"}`. */
function jsonLine(level: LogLevel, message: string, fields: LogFields): string {
  const named = Object.entries(fields).map(([name, value]) => [snakeCase(name), value] as const);
  return JSON.stringify({ time: new Date().toISOString(), level, message, ...Object.fromEntries(named) });
}

/** Converts the property names of events, which are camelCase. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Quotes a value that is not a single word, and escapes line breaks, so that an event stays one line. */
function quote(value: string): string {
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

/** An event whose fields can be logged as they are. */
interface LoggableEvent extends Readonly<Record<string, LogFields[string] | Feed>> {
  readonly kind: string;
  readonly feed?: Feed | undefined;
  readonly sdkKey?: SdkKey | undefined;
  readonly tookMs?: number | undefined;
}

/** Logs an event that has no message of its own, at level debug: its kind is the message. SDK keys are masked. */
export function debugLine(logger: Logger, event: LoggableEvent): void {
  const { kind, feed, sdkKey, tookMs, ...fields } = event;
  logger.log("debug", kind.replaceAll("_", " "), {
    ...fields,
    ...(feed !== undefined && { feed: describeFeed(feed) }),
    ...(sdkKey !== undefined && { sdk_key: maskSdkKey(sdkKey) }),
    ...(tookMs !== undefined && { took_ms: Number(tookMs.toFixed(3)) }),
  });
}
