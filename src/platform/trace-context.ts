import { AsyncLocalStorage } from "node:async_hooks";

/** The headers of W3C Trace Context, by which a request says what trace it is a part of. */
export type TraceHeaders = {
  readonly traceparent: string;
  readonly tracestate?: string;
};

interface CarriedTrace {
  /** Undefined once the request is answered: what goes on after it is no part of its trace. */
  headers: TraceHeaders | undefined;
}

const carried = new AsyncLocalStorage<CarriedTrace>();

/** Of 55 characters; versions later than 00 may have more to say after those. */
const TRACEPARENT =
  /^(?!ff|00-.{53})[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:-[\x21-\x7e]{1,200})?$/;

/** As long as the standard asks for. */
const TRACESTATE = /^[\x20-\x7e]{1,512}$/;

/** Whatever `work` asks of upstream is a part of the trace that these headers of a request tell of. */
export async function carryingTrace<T>(headers: Pick<Headers, "get">, work: () => Promise<T>): Promise<T> {
  const trace = readTrace(headers);
  if (trace === undefined) return work();
  const carrying: CarriedTrace = { headers: trace };
  try {
    return await carried.run(carrying, work);
  } finally {
    carrying.headers = undefined;
  }
}

/** The trace of the request that is being worked on; undefined where there is none. */
export function carriedTrace(): TraceHeaders | undefined {
  return carried.getStore()?.headers;
}

/** Undefined where it is missing or malformed: what it says of the state then counts for nothing. */
function readTrace(headers: Pick<Headers, "get">): TraceHeaders | undefined {
  const traceparent = headers.get("traceparent");
  if (traceparent === null || !TRACEPARENT.test(traceparent)) return undefined;
  const tracestate = headers.get("tracestate");
  return tracestate !== null && TRACESTATE.test(tracestate) ? { traceparent, tracestate } : { traceparent };
}
