import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Clock } from "./clock.ts";
import { describeErrno } from "./errors.ts";
import type { Supervisor } from "./supervisor.ts";

/** The content of each file; undefined for a file that cannot be read. */
export type FileContents = ReadonlyMap<string, Buffer | undefined>;

interface FileWatchOptions {
  readonly paths: readonly string[];
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly everyMs?: number;
  /**
   * Called when any content differs from the last call, or from construction; and after every {@link FileWatch.checkNow}. If
   * it throws, it is called again after a delay.
   */
  readonly onChange: (contents: FileContents) => void;
}

const EVERY_MS = 1_000;

/** Two reads this far apart must agree, so that a write in place, or of several files, is complete. */
const SETTLE_MS = 100;

/**
 * Polls files for changes. It compares contents, because a change may be a write, a rename or a replaced symlink, and watchers
 * of operating systems report these differently.
 */
export class FileWatch implements AsyncDisposable {
  readonly #options: FileWatchOptions;
  readonly #stopping = new AbortController();
  #known: FileContents;
  #seen: FileContents;
  /** Aborted to check before the interval is over. */
  #idle = new AbortController();
  #mustNotify = false;
  readonly #running: Promise<void>;

  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#known = new Map(options.paths.map((path) => [path, readNow(path)]));
    this.#seen = this.#known;
    this.#running = options.supervisor.loop("file_watch", this.#stopping.signal, () => this.#round());
  }

  /** The contents of the last notification, or of construction. */
  get known(): FileContents {
    return this.#known;
  }

  /** Checks at once and notifies in any case. */
  checkNow(): void {
    this.#mustNotify = true;
    this.#idle.abort();
  }

  async #round(): Promise<void> {
    const { clock, everyMs = EVERY_MS, onChange } = this.#options;
    const { signal } = this.#stopping;
    const isIdle = isSame(this.#seen, this.#known) && !this.#mustNotify;
    await (isIdle ? this.#idleFor(everyMs) : clock.sleep(SETTLE_MS, signal).catch(() => {}));
    const wasAsked = this.#mustNotify;
    const contents = await this.#read();
    const isSettled = isSame(contents, this.#seen);
    this.#seen = contents;
    if (signal.aborted || !isSettled || (isSame(contents, this.#known) && !wasAsked)) return;
    onChange(contents);
    this.#known = contents;
    if (wasAsked) this.#mustNotify = false;
  }

  async #idleFor(ms: number): Promise<void> {
    this.#idle = new AbortController();
    if (this.#stopping.signal.aborted) return;
    await this.#options.clock.sleep(ms, this.#idle.signal).catch(() => {});
  }

  async #read(): Promise<FileContents> {
    const { paths } = this.#options;
    const unlessExhausted = (path: string) => (error: NodeJS.ErrnoException) => {
      // Running out of descriptors says nothing about the file.
      return error.code === "EMFILE" || error.code === "ENFILE" ? this.#known.get(path) : undefined;
    };
    const reads = paths.map(
      async (path) => [path, await readFile(path).catch(unlessExhausted(path))] as const,
    );
    return new Map(await Promise.all(reads));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#idle.abort();
    await this.#running;
  }
}

/** Synchronous, so that every later change is noticed. */
function readNow(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

function isSame(some: FileContents, others: FileContents): boolean {
  return [...some].every(([path, content]) => {
    const other = others.get(path);
    return content === undefined || other === undefined ? content === other : content.equals(other);
  });
}

/** Returns why a file cannot be read, for error messages. */
export function describeUnreadable(path: string): string {
  try {
    readFileSync(path);
    return "it could not be read a moment ago";
  } catch (error) {
    return describeErrno(error);
  }
}
