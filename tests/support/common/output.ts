import type { Readable } from "node:stream";

/** Collects the output of a process. */
export class Output {
  #text = "";
  readonly #listeners = new Set<() => void>();
  /** Resolves when the process, and every other one that has its output, has ended and all is read. */
  readonly ended: Promise<unknown>;

  constructor(...streams: (Readable | null)[]) {
    for (const stream of streams) {
      stream?.setEncoding("utf8").on("data", (chunk: string) => {
        this.#text += chunk;
        for (const listener of this.#listeners) listener();
      });
    }
    this.ended = Promise.all(
      streams.map((stream) => stream && new Promise<void>((resolve) => stream.once("close", resolve))),
    );
  }

  get text(): string {
    return this.#text;
  }

  /** Resolves when `found` returns a value for the output so far. */
  until<T>(found: (text: string) => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const look = (): void => {
        const result = found(this.#text);
        if (result === undefined) return;
        this.#listeners.delete(look);
        resolve(result);
      };
      this.#listeners.add(look);
      look();
    });
  }
}
