import { once } from "node:events";
import type { ClientReadableStream, Metadata, StatusObject } from "@grpc/grpc-js";
import { within } from "../common/wait.ts";
import type { ConfigSpecResponse } from "./grpc-client.ts";

/** One StreamConfigSpec call. */
export type SpecStream = GrpcStream<ConfigSpecResponse>;

/** One call with a stream of responses. Messages are kept in order until they are read. */
export class GrpcStream<T extends object> implements Disposable {
  readonly #call: ClientReadableStream<object>;
  readonly #metadata: Promise<Metadata>;
  readonly #status: Promise<StatusObject>;
  readonly #received: T[] = [];
  #arrival = Promise.withResolvers<void>();

  /** `defaults` are the values that proto3 does not send. */
  constructor(call: ClientReadableStream<object>, defaults: T) {
    this.#call = call;
    this.#metadata = once(call, "metadata").then(([metadata]) => metadata as Metadata);
    this.#status = new Promise((resolve) => call.once("status", resolve));
    this.#metadata.catch(() => undefined);
    // The status has the same information, and an "error" event without a listener would end the process.
    call.on("error", () => undefined);
    call.on("data", (message: object) => {
      this.#received.push({ ...defaults, ...message });
      this.#arrival.resolve();
      this.#arrival = Promise.withResolvers();
    });
  }

  /** Resolves with the next message. Rejects when the stream ends, or after `timeoutMs`. */
  async next(timeoutMs = 15_000): Promise<T> {
    const ended = this.#status.then(({ code, details }) => {
      // Messages arrive before the status, but this may be called after both.
      if (this.#received.length === 0) throw new Error(`the stream ended with status ${code} ${details}`);
    });
    ended.catch(() => undefined);
    if (this.#received.length === 0) {
      await within(Promise.race([this.#arrival.promise, ended]), timeoutMs, "next message");
    }
    const message = this.#received.shift();
    if (message === undefined) throw new Error("the stream gave no message");
    return message;
  }

  /** Messages that have arrived and were not read yet. */
  get waiting(): number {
    return this.#received.length;
  }

  metadata(timeoutMs = 15_000): Promise<Metadata> {
    return within(this.#metadata, timeoutMs, "metadata");
  }

  /** Resolves with the status of the stream. Rejects if it is still open after `timeoutMs`. */
  status(timeoutMs = 15_000): Promise<StatusObject> {
    return within(this.#status, timeoutMs, "end of the stream");
  }

  /** Stops reading, so that flow control stops the sender. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  cancel(): void {
    this.#call.cancel();
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}
