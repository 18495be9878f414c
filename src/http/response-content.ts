/** Of RPCs that may be streams: they have no length, and no end that could be waited for. */
const STREAMED = /^application\/(connect\+|grpc-web)/;

/** Of a file or of what a library made; what is held goes another way. Larger ones make Bun's HTTP/2 stall for seconds. */
const SLICE_BYTES = 64 * 1024;

/** The body of a web standard Response: as it comes, or as a whole whose size is known. */
export type ResponseContent =
  | { readonly kind: "stream"; readonly stream: ReadableStream<Uint8Array> }
  | { readonly kind: "blob"; readonly blob: Blob };

export async function contentOf(response: Response): Promise<ResponseContent> {
  const isStreamed = STREAMED.test(response.headers.get("content-type") ?? "");
  if (isStreamed && response.body !== null) return { kind: "stream", stream: response.body };
  // No copy: what was made of a Blob, or of a file, is that.
  return { kind: "blob", blob: await response.blob() };
}

/** In slices that are small enough for a slow client to hold. A file is opened once: it may be removed meanwhile. */
export async function* slicesOf(blob: Blob): AsyncGenerator<Uint8Array> {
  const isFile = "name" in blob && blob.name !== undefined;
  for await (const part of isFile ? blob.stream() : [blob]) {
    const size = part instanceof Blob ? part.size : part.length;
    for (let at = 0; at < size; at += SLICE_BYTES) {
      const slice = part.slice(at, at + SLICE_BYTES);
      yield slice instanceof Blob ? await slice.bytes() : slice;
    }
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
