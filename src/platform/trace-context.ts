import { AsyncLocalStorage } from "node:async_hooks";

/** The headers of W3C Trace Context. */
export type TraceHeaders = {
  readonly traceparent: string;
  readonly tracestate?: string;
};

interface CarriedTrace {
  /** Undefined once the response is sent: work that continues after it does not belong to the trace. */
  headers: TraceHeaders | undefined;
}

const carried = new AsyncLocalStorage<CarriedTrace>();

/** 55 characters; versions after 00 may append more. */
const TRACEPARENT =
  /^(?!ff|00-.{53})[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:-[\x21-\x7e]{1,200})?$/;

/** The length that the standard requires to be propagated. */
const TRACESTATE = /^[\x20-\x7e]{1,512}$/;

/** Runs `work` so that its requests to upstream join the trace of these request headers. */
export async function withTrace<T>(headers: Pick<Headers, "get">, work: () => Promise<T>): Promise<T> {
  return runInTrace(readTrace(headers), work);
}

/** As {@link withTrace}, for a trace that another thread has read. */
export async function runInTrace<T>(trace: TraceHeaders | undefined, work: () => Promise<T>): Promise<T> {
  if (trace === undefined) return work();
  const carrying: CarriedTrace = { headers: trace };
  try {
    return await carried.run(carrying, work);
  } finally {
    carrying.headers = undefined;
  }
}

/** Returns the trace of the request that is being handled, if it has one. */
export function currentTrace(): TraceHeaders | undefined {
  return carried.getStore()?.headers;
}

/** Returns undefined if `traceparent` is missing or malformed; `tracestate` is then ignored as the standard says. */
function readTrace(headers: Pick<Headers, "get">): TraceHeaders | undefined {
  const traceparent = headers.get("traceparent");
  if (traceparent === null || !TRACEPARENT.test(traceparent)) return undefined;
  const tracestate = headers.get("tracestate");
  return tracestate !== null && TRACESTATE.test(tracestate) ? { traceparent, tracestate } : { traceparent };
}
