import type { SharedBudget } from "../platform/shared-budget.ts";
import type { EmitLimitEvent, InFlight } from "../server/limits.ts";
import { RESPONSE_TIMEOUT_MS, type RequestContext } from "./request-context.ts";
import { errorResponse, unavailableResponse } from "./responses.ts";

interface BodyReaderOptions {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Each body takes memory for the bytes received, not for the length it declares. */
  readonly budget: BodyBudget;
  /** A request takes its slot once its body is complete: waiting for a body takes none. */
  readonly inFlight: InFlight;
  readonly emit: EmitLimitEvent;
}

/** The response to a late body is sent before the connection is cut. */
export const RESPONSE_MARGIN_MS = 1_000;

const BUSY_RETRY_AFTER_MS = 1_000;
const NO_ROOM_RETRY_AFTER_MS = 5_000;

/** The largest body for routes that need a few hundred bytes at most. */
export const SMALL_BODY_BYTES = 64 * 1024;

type BytesReader = Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;

/** Most bodies fit in the first block. */
const FIRST_BLOCK_BYTES = 8 * 1024;
const BLOCK_BYTES = 64 * 1024;

type BodyFailure = "late" | "broken" | "too_large" | "no_room";

/** Reads request bodies within the limits of time, size and memory. */
export class BodyReader {
  readonly #options: BodyReaderOptions;

  constructor(options: BodyReaderOptions) {
    this.#options = options;
  }

  /** Returns the response to a body above the size limit. */
  tooLarge(): Response {
    this.#options.emit({ kind: "limit_reached", limit: "max-request-body-in-mb" });
    return errorResponse(413);
  }

  /** Returns the response to a request above the limit of requests in flight. */
  busy(): Response {
    return unavailableResponse(BUSY_RETRY_AFTER_MS, "The relay has too many requests in flight: retry later");
  }

  /**
   * Reads the whole body and passes it to `handle`. The memory of the body counts against the budget until the response is
   * made. `maxBytes` is the limit of the route if it is below the general one.
   */
  async withBody(
    request: Request,
    context: RequestContext,
    handle: (body: Uint8Array<ArrayBuffer>) => Response | Promise<Response>,
    maxBytes = this.#options.maxBytes,
  ): Promise<Response> {
    // The caller has reserved a slot already.
    if (request.body === null) return await handle(new Uint8Array(0));
    const { timeoutMs, budget, inFlight } = this.#options;
    const failed = Promise.withResolvers<BodyFailure>();
    using reservation = budget.open(() => failed.resolve("no_room"));
    context.setDeadline(timeoutMs + RESPONSE_MARGIN_MS);
    // The connection's own deadline may be extended by each byte that arrives.
    const deadline = setTimeout(() => failed.resolve("late"), timeoutMs);
    const reader: BytesReader = request.body.getReader();
    const read = await Promise.race([readAll(reader, reservation, maxBytes), failed.promise]);
    clearTimeout(deadline);
    // The rest of a rejected body is not read.
    if (typeof read === "string") void reader.cancel().catch(() => {});
    context.setDeadline(RESPONSE_TIMEOUT_MS);
    if (typeof read === "string") return this.#toResponse(read);
    reservation.complete();
    using slot = inFlight.enter();
    return slot === undefined ? this.busy() : await handle(read);
  }

  #toResponse(reason: BodyFailure): Response {
    switch (reason) {
      case "late":
        this.#options.emit({ kind: "limit_reached", limit: "body-timeout-in-s" });
        return errorResponse(408);
      case "broken":
        return errorResponse(400, { message: "The request ended before its body was complete" });
      case "too_large":
        return this.tooLarge();
      case "no_room":
        this.#options.emit({ kind: "limit_reached", limit: "arriving-bodies" });
        return unavailableResponse(
          NO_ROOM_RETRY_AFTER_MS,
          "Too many request bodies are arriving: retry later",
        );
    }
  }
}

/** Copies the body into blocks of its own: a chunk may keep alive memory of many times its size. */
async function readAll(
  reader: BytesReader,
  reservation: BodyReservation,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | BodyFailure> {
  const blocks: Uint8Array[] = [];
  let length = 0;
  let room = new Uint8Array(0);
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      let chunk = read.value;
      length += chunk.length;
      if (length > maxBytes) return "too_large";
      while (chunk.length > 0) {
        if (room.length === 0) {
          room = new Uint8Array(blocks.length === 0 ? FIRST_BLOCK_BYTES : BLOCK_BYTES);
          if (!reservation.reserve(room.length)) return "no_room";
          blocks.push(room);
        }
        const part = chunk.subarray(0, room.length);
        room.set(part);
        room = room.subarray(part.length);
        chunk = chunk.subarray(part.length);
      }
    }
  } catch {
    // The client has gone.
    return "broken";
  }
  return joinBlocks(blocks, length);
}

function joinBlocks(blocks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(length);
  let at = 0;
  for (const block of blocks) {
    body.set(block.subarray(0, length - at), at);
    at += block.length;
  }
  return body;
}

/** The memory that the bodies of all requests may take together, on all threads. */
export const MAX_BODIES_BYTES = 128 * 1024 * 1024;

/** The most bodies that may be arriving at once, on all threads. Each costs some kilobytes beside the bytes received. */
export const MAX_ARRIVING_BODIES = 4_096;

interface BodyBudgetOptions {
  /** The memory of all bodies together. */
  readonly bytes: SharedBudget;
  /** The bodies that are not complete. */
  readonly arriving: SharedBudget;
}

/** The memory that one body holds. Disposing of it returns the memory. */
interface BodyReservation extends Disposable {
  /**
   * Reserves memory for more bytes. Returns false, and reserves nothing, if there is not enough or the reservation was
   * disposed of.
   */
  reserve(bytes: number): boolean;
  /** All of the body has arrived: it can no longer be evicted. */
  complete(): void;
}

/**
 * Limits the memory of all request bodies together. If there is not enough, the body that has been arriving longest at this
 * thread is evicted: clients that never complete their requests must not displace the others.
 */
export class BodyBudget {
  readonly #options: BodyBudgetOptions;
  readonly #arriving = new Set<() => void>();

  constructor(options: BodyBudgetOptions) {
    this.#options = options;
  }

  /** Adds a body. `onEvicted` is called when its memory is taken away and it must not be read further. */
  open(onEvicted: () => void): BodyReservation {
    const { bytes, arriving } = this.#options;
    let reserved = 0;
    let isReleased = false;
    const complete = () => {
      if (this.#arriving.delete(evict)) arriving.giveBack(1);
    };
    const release = () => {
      isReleased = true;
      complete();
      bytes.giveBack(reserved);
      reserved = 0;
    };
    const evict = () => {
      release();
      onEvicted();
    };
    if (this.#take(arriving, 1, evict)) this.#arriving.add(evict);
    else evict();
    return {
      reserve: (more) => {
        if (isReleased || !this.#take(bytes, more, evict)) return false;
        reserved += more;
        return true;
      },
      complete,
      [Symbol.dispose]: release,
    };
  }

  /** Takes `n` of a budget for the body `taker`. Evicts others as long as there is not enough, and returns false if none is left. */
  #take(budget: SharedBudget, n: number, taker: () => void): boolean {
    while (!budget.tryTake(n)) if (!this.#evictOldest(taker)) return false;
    return true;
  }

  /** Evicts the oldest arriving body other than `except`. Returns false if there is none. */
  #evictOldest(except: () => void): boolean {
    for (const evict of this.#arriving) {
      if (evict === except) continue;
      evict();
      return true;
    }
    return false;
  }
}
