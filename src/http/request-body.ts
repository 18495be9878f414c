import type { EmitLimitEvent, InFlight } from "../server/limits.ts";
import { RESPONSE_TIMEOUT_MS, type RequestContext } from "./exchange.ts";
import { errorResponse, unavailableResponse } from "./responses.ts";

interface BodyReaderOptions {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Of it each body takes what has come of it, not what it says that it will be. */
  readonly bodies: IncomingBodies;
  /** A request is worked on from when its body is there: to wait for a body is no work. */
  readonly inFlight: InFlight;
  readonly emit: EmitLimitEvent;
}

/** A body that came too late is answered before its connection is cut. */
export const RESPONSE_MARGIN_MS = 1_000;

const BUSY_RETRY_AFTER_MS = 1_000;
const NO_ROOM_RETRY_AFTER_MS = 5_000;

/** The largest body of a route that needs a few hundred bytes of it. */
export const SMALL_BODY_BYTES = 64 * 1024;

type BytesReader = Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;

/** Most bodies are smaller than the first. */
const FIRST_BLOCK_BYTES = 8 * 1024;
const BLOCK_BYTES = 64 * 1024;

type Unread = "late" | "broken" | "too_large" | "no_room";

/** Reads bodies of requests, for no longer than they may take. */
export class BodyReader {
  readonly #options: BodyReaderOptions;

  constructor(options: BodyReaderOptions) {
    this.#options = options;
  }

  /** The answer to a body that is longer than it may be. */
  tooLarge(): Response {
    this.#options.emit({ kind: "limit_reached", limit: "max-request-body-in-mb" });
    return errorResponse(413);
  }

  /** The answer to a request that nobody has time for. */
  busy(): Response {
    return unavailableResponse(BUSY_RETRY_AFTER_MS);
  }

  /**
   * Reads to the end and answers; what the body takes up is given back after that. `maxBytes` is the route's own limit,
   * for those that need less than the largest body.
   */
  async withBody(
    request: Request,
    exchange: RequestContext,
    answer: (body: Uint8Array<ArrayBuffer>) => Response | Promise<Response>,
    maxBytes = this.#options.maxBytes,
  ): Promise<Response> {
    // It is being worked on already.
    if (request.body === null) return await answer(new Uint8Array(0));
    const { timeoutMs, bodies, inFlight } = this.#options;
    const unread = Promise.withResolvers<Unread>();
    using share = bodies.open(() => unread.resolve("no_room"));
    exchange.limitTo(timeoutMs + RESPONSE_MARGIN_MS);
    // The connection's own time limit may begin anew with each byte that comes.
    const deadline = setTimeout(() => unread.resolve("late"), timeoutMs);
    const reader: BytesReader = request.body.getReader();
    const read = await Promise.race([readAll(reader, share, maxBytes), unread.promise]);
    clearTimeout(deadline);
    // Nobody wants the rest of a body that was refused.
    if (typeof read === "string") void reader.cancel().catch(() => {});
    exchange.limitTo(RESPONSE_TIMEOUT_MS);
    if (typeof read === "string") return this.#refusal(read);
    share.arrived();
    using place = inFlight.enter();
    return place === undefined ? this.busy() : await answer(read);
  }

  #refusal(reason: Unread): Response {
    switch (reason) {
      case "late":
        this.#options.emit({ kind: "limit_reached", limit: "body-timeout-in-s" });
        return errorResponse(408);
      case "broken":
        return errorResponse(400);
      case "too_large":
        return this.tooLarge();
      case "no_room":
        this.#options.emit({ kind: "limit_reached", limit: "arriving-bodies" });
        return unavailableResponse(NO_ROOM_RETRY_AFTER_MS);
    }
  }
}

/** Into blocks of our own: a piece of a body may keep memory that is many times its size. */
async function readAll(
  reader: BytesReader,
  share: BodyShare,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | Unread> {
  const blocks: Uint8Array[] = [];
  let length = 0;
  let room = new Uint8Array(0);
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      let piece = read.value;
      length += piece.length;
      if (length > maxBytes) return "too_large";
      while (piece.length > 0) {
        if (room.length === 0) {
          room = new Uint8Array(blocks.length === 0 ? FIRST_BLOCK_BYTES : BLOCK_BYTES);
          if (!share.take(room.length)) return "no_room";
          blocks.push(room);
        }
        const part = piece.subarray(0, room.length);
        room.set(part);
        room = room.subarray(part.length);
        piece = piece.subarray(part.length);
      }
    }
  } catch {
    // The client went.
    return "broken";
  }
  return joined(blocks, length);
}

function joined(blocks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(length);
  let at = 0;
  for (const block of blocks) {
    body.set(block.subarray(0, length - at), at);
    at += block.length;
  }
  return body;
}

/** Bodies of requests while they come, and until their requests are answered. */
interface IncomingBodiesOptions {
  /** In memory at one time. */
  readonly maxBytes: number;
  /** Of which the end has not come. */
  readonly maxArriving: number;
}

/** What a body takes up; given back when it is disposed of. */
interface BodyShare extends Disposable {
  /** False if there is no room for so many bytes more, or it was disposed of. Nothing is taken then. */
  take(bytes: number): boolean;
  /** It has come as a whole. */
  arrived(): void;
}

/**
 * Bounds what bodies of requests take up, of all clients together. Where there is no room the body gives way that has
 * been coming for longest: clients that never end their requests must not take the place of those that do.
 */
export class IncomingBodies {
  readonly #options: IncomingBodiesOptions;
  readonly #arriving = new Set<() => void>();
  #bytes = 0;

  constructor(options: IncomingBodiesOptions) {
    this.#options = options;
  }

  /** `giveWay` is called when the body is to be read no further: it takes up nothing any more. */
  open(giveWay: () => void): BodyShare {
    let taken = 0;
    let isOver = false;
    const release = () => {
      isOver = true;
      this.#arriving.delete(evict);
      this.#bytes -= taken;
      taken = 0;
    };
    const evict = () => {
      release();
      giveWay();
    };
    if (this.#arriving.size >= this.#options.maxArriving) this.#evictOldest(evict);
    this.#arriving.add(evict);
    return {
      take: (bytes) => {
        if (isOver) return false;
        while (this.#bytes + bytes > this.#options.maxBytes) if (!this.#evictOldest(evict)) return false;
        this.#bytes += bytes;
        taken += bytes;
        return true;
      },
      arrived: () => void this.#arriving.delete(evict),
      [Symbol.dispose]: release,
    };
  }

  /** Of all but `except`; false if there is no other. */
  #evictOldest(except: () => void): boolean {
    for (const evict of this.#arriving) {
      if (evict === except) continue;
      evict();
      return true;
    }
    return false;
  }
}
