import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Clock } from "./clock.ts";
import type { Supervisor } from "./supervisor.ts";

/** What stands in each of the files; undefined where it can't be read just now. */
export type FileContents = ReadonlyMap<string, Buffer | undefined>;

interface FileWatchOptions {
  readonly paths: readonly string[];
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly everyMs?: number;
  /**
   * Called when anything differs from what was told last; at first, from what was there at construction. And after
   * {@link FileWatch.lookNow}, whether it does or not. What it throws is a fault: it is called again after a delay.
   */
  readonly onChange: (contents: FileContents) => void;
}

const EVERY_MS = 1_000;

/** Who writes in place, or several files one after the other, must be done: two looks that far apart agree. */
const SETTLE_MS = 100;

/**
 * Looks again and again at what files hold. It compares contents, since a change may come as a write, a rename, or
 * a symlink that leads elsewhere, which no watcher of the operating system tells of alike.
 */
export class FileWatch implements AsyncDisposable {
  readonly #options: FileWatchOptions;
  readonly #stopping = new AbortController();
  #known: FileContents;
  #seen: FileContents;
  /** Aborted where there is something to see before it is time. */
  #idle = new AbortController();
  #mustTell = false;
  readonly #running: Promise<void>;

  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#known = new Map(options.paths.map((path) => [path, readNow(path)]));
    this.#seen = this.#known;
    this.#running = options.supervisor.loop("file_watch", this.#stopping.signal, () => this.#round());
  }

  /** What was there when it was last told, or at construction. */
  get known(): FileContents {
    return this.#known;
  }

  /** Somebody says that there is something to see. */
  lookNow(): void {
    this.#mustTell = true;
    this.#idle.abort();
  }

  async #round(): Promise<void> {
    const { clock, everyMs = EVERY_MS, onChange } = this.#options;
    const { signal } = this.#stopping;
    const isIdle = isSame(this.#seen, this.#known) && !this.#mustTell;
    await (isIdle ? this.#idleFor(everyMs) : clock.sleep(SETTLE_MS, signal).catch(() => {}));
    const wasAsked = this.#mustTell;
    const contents = await this.#look();
    const isSettled = isSame(contents, this.#seen);
    this.#seen = contents;
    if (signal.aborted || !isSettled || (isSame(contents, this.#known) && !wasAsked)) return;
    onChange(contents);
    this.#known = contents;
    if (wasAsked) this.#mustTell = false;
  }

  async #idleFor(ms: number): Promise<void> {
    this.#idle = new AbortController();
    if (this.#stopping.signal.aborted) return;
    await this.#options.clock.sleep(ms, this.#idle.signal).catch(() => {});
  }

  async #look(): Promise<FileContents> {
    const { paths } = this.#options;
    const unlessExhausted = (path: string) => (error: NodeJS.ErrnoException) => {
      // It says nothing of the file that the process has no descriptor left to look at it.
      return error.code === "EMFILE" || error.code === "ENFILE" ? this.#known.get(path) : undefined;
    };
    const looks = paths.map(
      async (path) => [path, await readFile(path).catch(unlessExhausted(path))] as const,
    );
    return new Map(await Promise.all(looks));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#idle.abort();
    await this.#running;
  }
}

/** Before anything else can happen: what comes later is a change. */
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

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "file is missing",
  EACCES: "no permission",
  EISDIR: "it is a folder",
};

/** Why a file can't be read, for people. */
export function whyUnreadable(path: string): string {
  try {
    readFileSync(path);
    return "it could not be read a moment ago";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return WORDS[code ?? ""] ?? String(code);
  }
}
