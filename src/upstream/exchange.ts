import type { Clock } from "../platform/clock.ts";
import type { FetchFailure } from "../specs/source.ts";
import type { UpstreamEndpoint, UpstreamPost, UpstreamRequest } from "./endpoint.ts";
import { failedToConnect, failedToRead } from "./errors.ts";
import { TimeLimit } from "./time-limit.ts";

/** How a request is sent, and how its progress is reported. */
export interface ExchangeParts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called when the response begins, and for each chunk of the body. */
  readonly progressed?: () => void;
}

type ReadResponse<T> = (response: Response, received: (bytes: number) => void) => Promise<T>;

/**
 * Sends a request, and reads the response while it makes progress. Every failure is a value: the promise rejects only when `signal` is
 * aborted.
 */
export async function exchange<T>(
  endpoint: UpstreamEndpoint,
  request: UpstreamRequest | UpstreamPost,
  { clock, signal, progressed = () => {} }: ExchangeParts,
  read: ReadResponse<T>,
): Promise<T | FetchFailure> {
  using limit = new TimeLimit(clock, endpoint, signal);
  let response: Response;
  try {
    response = await endpoint.send(request, limit.signal);
  } catch (error) {
    signal.throwIfAborted();
    return failedToConnect(error, limit.signal.reason);
  }
  limit.responded();
  progressed();
  const received = (bytes: number) => {
    limit.received(bytes);
    progressed();
  };
  try {
    return await read(response, received);
  } catch (error) {
    signal.throwIfAborted();
    return failedToRead(error, limit.signal.reason);
  }
}

/** Resolves with `outcome`. */
export async function discardBody<T>(response: Response, outcome: T): Promise<T> {
  await response.body?.cancel();
  return outcome;
}
