import type { RawPayload } from "./payload.ts";
import type { Preparation } from "./prepare.ts";
import type { PrepareJob, PrepareResult } from "./prepare-worker.ts";

/** Checks and codes payloads without holding up requests. */
export interface SpecPreparer extends AsyncDisposable {
  /** Takes over `raw.body`: the caller must not use it again. Rejects when the work could not be done at all. */
  prepare(raw: RawPayload): Promise<Preparation>;
}

/** Does the work in one Worker, started with the first payload and started anew should it die. */
export class WorkerPreparer implements SpecPreparer {
  #worker: Worker | undefined;
  #lastId = 0;
  readonly #pending = new Map<number, PromiseWithResolvers<Preparation>>();

  prepare(raw: RawPayload): Promise<Preparation> {
    this.#worker ??= this.#start();
    const id = ++this.#lastId;
    const pending = Promise.withResolvers<Preparation>();
    this.#pending.set(id, pending);
    this.#worker.postMessage({ id, raw } satisfies PrepareJob, [raw.body.buffer]);
    return pending.promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL("./prepare-worker.ts", import.meta.url));
    worker.onmessage = (event: MessageEvent<PrepareResult>) => this.#settle(event.data);
    const lost = (reason: string) => {
      if (this.#worker === worker) this.#abandon(new Error(reason));
    };
    worker.onerror = (event) => lost(`the payload worker failed: ${event.message}`);
    worker.addEventListener("close", () => lost("the payload worker ended"));
    return worker;
  }

  #settle({ id, result }: PrepareResult): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (result.kind === "crashed") pending?.reject(new Error(result.message));
    else pending?.resolve(result);
  }

  #abandon(reason: Error): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const each of pending) each.reject(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abandon(new Error("the relay is shutting down"));
  }
}
