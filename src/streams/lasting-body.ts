/** Bytes that are sent together, such as one event. Clients share the parts, so that these must not change. */
export type SharedFrame = readonly Uint8Array[];

/** The connection, or the HTTP/2 stream, that a body is written to. */
export interface FrameSink {
  /** Returns undefined if everything was taken at once. Otherwise the promise resolves when it was; it may never settle if the client is gone. */
  write(frame: SharedFrame): Promise<void> | undefined;
}

/** The body of a response that continues as long as the client listens. */
export interface LastingBody {
  /** Resolves when the body has ended; rejects when the client is gone, or if the body cannot be continued. */
  writeTo(sink: FrameSink): Promise<void>;
}
