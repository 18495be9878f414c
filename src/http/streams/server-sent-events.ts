import type { Snapshot } from "../../specs/snapshot.ts";
import type { SharedFrame } from "../../streams/lasting-body.ts";
import type { SpecItem } from "../../streams/spec-stream.ts";
import type { ItemEncoding } from "../../streams/stream-body.ts";
import { compressSegment, GzipBody, type GzipSegment, storeSegment } from "./gzip-segments.ts";

/** The codings of an event stream. Others are not made, since their parts could not be shared by clients that began at different times. */
export const EVENT_CODINGS = ["gzip", "identity"] as const;

export type EventCoding = (typeof EVENT_CODINGS)[number];

/**
 * How long a client waits before it connects again, in ms: as core SDKs do after the first failure (docs/protocol.md, Streams), and a
 * different time for each client, since all of them lose a relay at once.
 */
const RETRY_MS = { least: 3_000, most: 6_000 } as const;

const NO_UPDATE = toBytes(": no update\n\n");

const NOTHING: SharedFrame = [];

/** Server-sent events without a coding (HTML, 9.2.5). One version is framed once for all clients of a thread. */
class PlainEvents implements ItemEncoding {
  #retry: Uint8Array | undefined = retryField();

  prepare(): undefined {
    return undefined;
  }

  encode(item: SpecItem): SharedFrame {
    const frame = item.kind === "spec" ? frameOf(item.snapshot) : [NO_UPDATE];
    const retry = this.#retry;
    this.#retry = undefined;
    return retry === undefined ? frame : [retry, ...frame];
  }

  end(): SharedFrame {
    return NOTHING;
  }
}

/** The same, as gzip. One version is compressed once for all clients of a thread. */
class GzipEvents implements ItemEncoding {
  readonly #body = new GzipBody();
  #retry: Uint8Array | undefined = retryField();

  prepare(snapshot: Snapshot): Promise<void> | undefined {
    const known = segments.get(snapshot);
    if (known === undefined) return startCompressing(snapshot);
    return known instanceof Promise ? known : undefined;
  }

  encode(item: SpecItem): SharedFrame {
    const frame: Uint8Array[] = [];
    if (this.#retry !== undefined) frame.push(...this.#body.add(storeSegment(this.#retry)));
    this.#retry = undefined;
    const segment = item.kind === "spec" ? segments.get(item.snapshot) : NO_UPDATE_SEGMENT;
    if (segment === undefined || segment instanceof Promise) throw new Error("the version is not compressed");
    frame.push(...this.#body.add(segment));
    return frame;
  }

  end(): SharedFrame {
    return this.#body.end();
  }
}

export function encodeEvents(coding: EventCoding): ItemEncoding {
  return coding === "gzip" ? new GzipEvents() : new PlainEvents();
}

const NO_UPDATE_SEGMENT = storeSegment(NO_UPDATE);

/** The event of each version that is being compressed or has been; released with the version. */
const segments = new WeakMap<Snapshot, GzipSegment | Promise<void>>();

function startCompressing(snapshot: Snapshot): Promise<void> {
  const compressing = compressSegment(frameOf(snapshot)).then(
    (segment) => void segments.set(snapshot, segment),
    (error: unknown) => {
      // The next client tries again.
      segments.delete(snapshot);
      throw error;
    },
  );
  segments.set(snapshot, compressing);
  return compressing;
}

/** The parts of the event of each version; released with the version. */
const frames = new WeakMap<Snapshot, SharedFrame>();

function frameOf(snapshot: Snapshot): SharedFrame {
  const known = frames.get(snapshot);
  if (known !== undefined) return known;
  const head = toBytes(`event: spec\nid: ${snapshot.lcut}\ndata: `);
  const frame = [head, toDataLines(snapshot.bytes), EVENT_END];
  frames.set(snapshot, frame);
  return frame;
}

const EVENT_END = toBytes("\n\n");

/** Returns the payload itself unless it has line ends, which JSON allows between its tokens: each line is a field of its own. */
function toDataLines(payload: Uint8Array): Uint8Array {
  if (!payload.includes(LINE_FEED) && !payload.includes(CARRIAGE_RETURN)) return payload;
  return toBytes(new TextDecoder().decode(payload).replace(/\r\n|\r|\n/g, "\ndata: "));
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

function retryField(): Uint8Array {
  const { least, most } = RETRY_MS;
  return toBytes(`retry: ${Math.round(least + Math.random() * (most - least))}\n\n`);
}

function toBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
