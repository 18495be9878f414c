import { open } from "node:fs/promises";

/** RPCs that may be streams: they have no length, and no end to wait for. */
const STREAMED_TYPE = /^application\/(connect\+|grpc-web)/;

/** Larger slices make Bun's HTTP/2 stall for seconds. */
const SLICE_BYTES = 64 * 1024;

/** A part of a file. `end` is the offset of the first byte after it. */
export interface FileRange {
  readonly path: string;
  readonly first: number;
  readonly end: number;
  /** Called if the file cannot be read up to `end`. */
  readonly onFailure?: (error: unknown) => void;
}

/** A Response whose body is read from a file while it is sent, and is never in memory as a whole. */
export class FileResponse extends Response {
  readonly file: FileRange;

  constructor(file: FileRange, init: ResponseInit) {
    super(null, init);
    this.file = file;
  }
}

/** A Response whose body is bytes that many responses share. A plain Response would copy them, and so would a Blob. */
export class BytesResponse extends Response {
  readonly content: Uint8Array;

  /** The content must not change from now on. */
  constructor(content: Uint8Array, init: ResponseInit) {
    super(null, init);
    this.content = content;
  }
}

/** The body of a web standard Response: a stream, or content of known size. */
type ResponseContent =
  | { readonly kind: "stream"; readonly stream: ReadableStream<Uint8Array> }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly size: number }
  | { readonly kind: "file"; readonly file: FileRange; readonly size: number };

export async function toContent(response: Response): Promise<ResponseContent> {
  const isStreamed = STREAMED_TYPE.test(response.headers.get("content-type") ?? "");
  if (isStreamed && response.body !== null) return { kind: "stream", stream: response.body };
  if (response instanceof FileResponse) {
    const { file } = response;
    return { kind: "file", file, size: file.end - file.first };
  }
  const bytes = response instanceof BytesResponse ? response.content : await response.bytes();
  return { kind: "bytes", bytes, size: bytes.length };
}

/** Yields views that are small enough for HTTP/2. */
export function* sliceBytes(bytes: Uint8Array, size = SLICE_BYTES): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/**
 * Yields slices that are small enough to be held for a slow client. If `areCopied`, each slice is overwritten when the next
 * one is requested.
 */
export async function* readFile(range: FileRange, areCopied: boolean): AsyncGenerator<Uint8Array> {
  try {
    yield* readFileSlices(range, areCopied);
  } catch (error) {
    range.onFailure?.(error);
    throw error;
  }
}

/** Opens the file once, since it may be removed meanwhile. Rejects if the file has become shorter. */
async function* readFileSlices(
  { path, first, end }: FileRange,
  areCopied: boolean,
): AsyncGenerator<Uint8Array, void> {
  await using file = await open(path);
  const reused = areCopied ? Buffer.allocUnsafeSlow(SLICE_BYTES) : undefined;
  for (let at = first; at < end; ) {
    const buffer = reused ?? Buffer.allocUnsafeSlow(SLICE_BYTES);
    const { bytesRead } = await file.read(buffer, 0, Math.min(SLICE_BYTES, end - at), at);
    if (bytesRead === 0) throw new Error("the file became shorter while it was read");
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

/**
 * Yields the chunks of a stream until it ends. Rejects, and cancels the stream, when `signal` is aborted: its source may wait
 * for ever.
 */
export async function* readUntilAborted(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    signal.throwIfAborted();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      if (read.value.length > 0) yield read.value;
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}
