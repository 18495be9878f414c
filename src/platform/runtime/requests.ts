/** The part of the options of `fetch` that the relay uses. */
export interface SendOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | URLSearchParams;
  readonly signal: AbortSignal;
  /** Redirects are responses like others. */
  readonly redirect?: "manual";
  /** Whether the body of the response stays as it was sent. Otherwise it is decompressed. */
  readonly decompress?: false;
  /** Whether the connection may be used again; by default it may. */
  readonly keepalive?: boolean;
  /** The default is HTTP/1.1. Rejects with the code HTTP2Unsupported if that is impossible. */
  readonly protocol?: "http2";
  /** Whether the runtime may end a request that is silent for long; by default it may. */
  readonly timeout?: false;
  readonly tls?: { readonly rejectUnauthorized: false };
}
