/** The connection that a request came on, as far as its answer has a say in it. */
export interface RequestContext {
  /** How many headers the request came with, those counted one by one that came under the same name. */
  readonly headerCount: number;
  /** Cuts the connection unless the answer is there, or says otherwise, in so many milliseconds; 0 for never. */
  limitTo(ms: number): void;
}

export type Answer = (request: Request, exchange: RequestContext) => Response | Promise<Response>;

/** What hono hands to routes as `env`. */
export interface RequestEnv {
  readonly Bindings: RequestContext;
}

/** Longer than a first request for a key may take upstream. */
export const RESPONSE_TIMEOUT_MS = 60_000;
