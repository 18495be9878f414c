export type LogLevel = "debug" | "info" | "warn" | "error";

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** One line a happening: a message that is always the same, and what varies as fields. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

/** Lines for people: `2026-01-02T03:04:05.678Z INFO  serving mode=http`. */
export class TextLogger implements Logger {
  readonly #write: (line: string) => void;
  readonly #debug: boolean;

  constructor(write: (line: string) => void, options: { readonly debug: boolean }) {
    this.#write = write;
    this.#debug = options.debug;
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (level === "debug" && !this.#debug) return;
    const words = [new Date().toISOString(), level.toUpperCase().padEnd(5), message];
    for (const [name, value] of Object.entries(fields)) {
      if (value !== undefined) words.push(`${name}=${quote(String(value))}`);
    }
    this.#write(`${words.join(" ")}\n`);
  }
}

/** Quoted where a value would not read as one word; a line stays one line. */
function quote(value: string): string {
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
