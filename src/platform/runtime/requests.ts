/** The part of the options of `fetch` that the relay uses. */
export type SendOptions = CommonOptions & (Unredirected | Redirected);

interface Unredirected {
  readonly body?: string | Uint8Array<ArrayBuffer> | URLSearchParams;
  /** Redirects are responses like others. */
  readonly redirect: "manual";
}

/** Redirects are followed, a limited number of them, without `authorization` and `cookie` to another origin. */
interface Redirected {
  readonly body?: never;
  readonly redirect?: never;
}

interface CommonOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /**
   * Whether the body of the response stays as it was sent. Otherwise gzip, deflate and Brotli are accepted and decompressed; the headers of
   * the response are those of the compressed body.
   */
  readonly decompress?: false;
  /** Whether the connection may be used again; by default it may. */
  readonly keepalive?: boolean;
  /** The default is HTTP/1.1. Rejects with the code HTTP2Unsupported if that is impossible. */
  readonly protocol?: "http2";
  /** Whether the runtime may end a request that is silent for long; by default it may. */
  readonly timeout?: false;
  readonly tls?: { readonly rejectUnauthorized: false };
}
