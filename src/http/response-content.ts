import { open } from "node:fs/promises";

/** Of RPCs that may be streams: they have no length, and no end that could be waited for. */
const STREAMED = /^application\/(connect\+|grpc-web)/;

/** Larger ones make Bun's HTTP/2 stall for seconds. */
const SLICE_BYTES = 64 * 1024;

/** A part of a file, of which `end` is the first byte that is not in it. */
export interface FileRange {
  readonly path: string;
  readonly first: number;
  readonly end: number;
  /** Called if the file can't be read to that end. */
  readonly onFailure?: (error: unknown) => void;
}

/** A Response whose body is read from a file while it is sent, and never as a whole. */
export class FileResponse extends Response {
  readonly file: FileRange;

  constructor(file: FileRange, init: ResponseInit) {
    super(null, init);
    this.file = file;
  }
}

/** The body of a web standard Response: as it comes, or as a whole whose size is known. */
type ResponseContent =
  | { readonly kind: "stream"; readonly stream: ReadableStream<Uint8Array> }
  | { readonly kind: "whole"; readonly content: Blob | FileRange; readonly size: number };

export async function toContent(response: Response): Promise<ResponseContent> {
  const isStreamed = STREAMED.test(response.headers.get("content-type") ?? "");
  if (isStreamed && response.body !== null) return { kind: "stream", stream: response.body };
  if (response instanceof FileResponse) {
    const { file } = response;
    return { kind: "whole", content: file, size: file.end - file.first };
  }
  // No copy: what was made of a Blob is that Blob.
  const blob = await response.blob();
  return { kind: "whole", content: blob, size: blob.size };
}

/**
 * Slices that are small enough for a slow client to hold. With `areCopied` each is overwritten when the next is asked
 * for.
 */
export async function* readSlices(content: Blob | FileRange, areCopied: boolean): AsyncGenerator<Uint8Array> {
  if (!(content instanceof Blob)) {
    yield* guardedFileSlices(content, areCopied);
    return;
  }
  for (let at = 0; at < content.size; at += SLICE_BYTES) {
    yield await content.slice(at, at + SLICE_BYTES).bytes();
  }
}

async function* guardedFileSlices(range: FileRange, areCopied: boolean): AsyncGenerator<Uint8Array> {
  try {
    yield* readFileSlices(range, areCopied);
  } catch (error) {
    range.onFailure?.(error);
    throw error;
  }
}

/** Opened once: a file may be removed while it is read. Rejects if it is shorter than it was. */
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

/** What a stream gives until it ends. Rejects, and cancels it, when the client goes: what makes it may wait for ever. */
export async function* readUntilGone(
  stream: ReadableStream<Uint8Array>,
  gone: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel(gone.reason).catch(() => {});
  gone.addEventListener("abort", cancel, { once: true });
  try {
    gone.throwIfAborted();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      if (read.value.length > 0) yield read.value;
    }
    gone.throwIfAborted();
  } finally {
    gone.removeEventListener("abort", cancel);
    cancel();
  }
}
