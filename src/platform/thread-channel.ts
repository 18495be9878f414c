/** What a Worker and the thread that started it have in common. */
export interface ChannelEnd {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

/**
 * Sends messages to another thread, those of one turn of the event loop together, and in order. A message costs 10 µs on its
 * own, and a tenth of that in a batch.
 */
export class ThreadChannel<Sent, Received> {
  readonly #end: ChannelEnd;
  #batch: Sent[] = [];
  #moved: ArrayBuffer[] = [];

  /** An error of `receive` becomes an uncaught exception, and the messages after that one are received nevertheless. */
  constructor(end: ChannelEnd, receive: (message: Received) => void) {
    this.#end = end;
    end.addEventListener("message", ({ data }: MessageEvent<readonly Received[]>) => {
      for (const message of data) {
        try {
          receive(message);
        } catch (error) {
          setImmediate(() => {
            throw error;
          });
        }
      }
    });
  }

  /** `moved` buffers are transferred, not copied. */
  send(message: Sent, moved: readonly ArrayBuffer[] = []): void {
    if (this.#batch.push(message) === 1) setImmediate(() => this.flush());
    this.#moved.push(...moved);
  }

  /** Sends at once what waits for the end of the turn. */
  flush(): void {
    if (this.#batch.length === 0) return;
    const [batch, moved] = [this.#batch, this.#moved];
    [this.#batch, this.#moved] = [[], []];
    this.#end.postMessage(batch, moved);
  }
}

/** Methods that are called from another thread. Arguments and results are plain data. */
type Methods<T> = { readonly [K in keyof T]: (argument: never) => Promise<unknown> };

/** A call of one of the methods `T`. */
export interface Call<T> {
  readonly kind: "call";
  readonly id: number;
  readonly method: keyof T;
  readonly argument: unknown;
}

export type CallOutcome =
  | { readonly kind: "returned"; readonly id: number; readonly result: unknown }
  | { readonly kind: "threw"; readonly id: number; readonly error: ThrownError };

/** What is needed to say what happened and where. Errors may have other properties, which need not be plain data. */
type ThrownError = Pick<Error, "name" | "message" | "stack">;

/** The other thread did not reply to a call in time. Whether the call had an effect is unknown. */
export class ThreadUnreachable extends Error {}

/** Longer than any method takes by its own time limits, and shorter than a client's response may take. */
const CALL_LIMIT_MS = 45_000;

interface Waiting extends PromiseWithResolvers<unknown> {
  readonly timer: NodeJS.Timeout;
}

/** Calls methods of another thread. */
export class ThreadCalls<T extends Methods<T>> {
  readonly #send: (call: Call<T>, moved: readonly ArrayBuffer[]) => void;
  readonly #waiting = new Map<number, Waiting>();
  readonly #limitMs: number;
  #lastId = 0;

  constructor(send: (call: Call<T>, moved: readonly ArrayBuffer[]) => void, limitMs = CALL_LIMIT_MS) {
    this.#send = send;
    this.#limitMs = limitMs;
  }

  /**
   * Settles as the method does, or rejects with {@link ThreadUnreachable}. An error of the method keeps its name, its message
   * and its stack. `moved` buffers are transferred, not copied.
   */
  call<K extends keyof T>(
    method: K,
    argument: Parameters<T[K]>[0],
    moved: readonly ArrayBuffer[] = [],
  ): ReturnType<T[K]> {
    const id = ++this.#lastId;
    const late = new ThreadUnreachable(`no reply to ${String(method)} within ${this.#limitMs} ms`);
    const timer = setTimeout(() => this.#take(id)?.reject(late), this.#limitMs);
    const waiting: Waiting = { ...Promise.withResolvers<unknown>(), timer };
    this.#waiting.set(id, waiting);
    this.#send({ kind: "call", id, method, argument }, moved);
    return waiting.promise as ReturnType<T[K]>;
  }

  /** Call this with each outcome that arrives. The outcome of a call that was given up is ignored. */
  settle(outcome: CallOutcome): void {
    const waiting = this.#take(outcome.id);
    if (outcome.kind === "threw") waiting?.reject(toError(outcome.error));
    else waiting?.resolve(outcome.result);
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }
}

/** Runs a call and returns its outcome. Never rejects. */
export async function answerCall<T extends Methods<T>>(
  methods: T,
  { id, method, argument }: Call<T>,
): Promise<CallOutcome> {
  try {
    return { kind: "returned", id, result: await methods[method](argument as never) };
  } catch (error) {
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
    return { kind: "threw", id, error: { name, message, ...(stack !== undefined && { stack }) } };
  }
}

function toError({ message, ...rest }: ThrownError): Error {
  return Object.assign(new Error(message), rest);
}
