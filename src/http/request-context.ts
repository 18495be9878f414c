/** What a handler may know of the connection that a request arrived on, and change about it. */
export interface RequestContext {
  /** The number of header lines of the request. Lines that repeat a name count one by one. */
  readonly headerCount: number;
  /** The IP address at the other end of the connection; empty if it is closed. */
  readonly clientAddress: string;
  /**
   * Cuts the connection, or resets the HTTP/2 stream, unless the response is complete or the deadline is set again within
   * `ms` milliseconds. 0 removes the deadline.
   */
  setDeadline(ms: number): void;
  /**
   * Takes a client that sends no more for gone, so that the signal of the request is aborted: for work that costs too much to do
   * it in vain. A client that exits only closes its half of a connection (RFC 9293, 3.6), as one that still waits may do.
   */
  endWithInput(): void;
}

export type RequestHandler = (request: Request, context: RequestContext) => Response | Promise<Response>;

/** What Hono passes to routes as `env`. */
export interface RequestEnv {
  readonly Bindings: RequestContext;
}

/** A request as it is known before its body is read. It is enough to answer from the cache. */
export interface RequestHead {
  readonly method: string;
  /** An absolute URL, or path and query alone. */
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

/** Longer than the first upstream fetch for an SDK key may take. */
export const RESPONSE_TIMEOUT_MS = 60_000;
