import type { DropInRow } from "../support/drop-in/row.ts";
import { body, status } from "../support/upstream/upstream.ts";
import type { Fault } from "../support/upstream/upstream-faults.ts";

/** What a client gets while upstream fails. */
export interface FailureRow extends DropInRow {
  readonly fault: Fault;
  /** A suffix that makes its SDK key unique. */
  readonly id: string;
  readonly isCached: boolean;
  readonly answer: "held" | "unauthorized" | "unavailable";
}

const PAYLOADS = "a payload that is incomplete, older than the cached one, or another key's";
const OUTAGE = "nothing cached and upstream failing";

/** The version that was cached before the failure. */
const HELD = "200 with the cached version";

function cached(what: string, id: string, fault: Fault, instead?: string): FailureRow {
  const ours = instead === undefined ? "same" : ({ does: HELD, subject: PAYLOADS } as const);
  return {
    name: `cached, ${what}`,
    original: instead ?? HELD,
    ours,
    id,
    fault,
    isCached: true,
    answer: "held",
  };
}

function first(what: string, id: string, fault: Fault, instead = "401"): FailureRow {
  const subject = instead === "401" ? OUTAGE : PAYLOADS;
  const ours = { does: "503 with Retry-After", subject };
  return {
    name: `not cached, ${what}`,
    original: instead,
    ours,
    id,
    fault,
    isCached: false,
    answer: "unavailable",
  };
}

function unauthorized(code: number): FailureRow {
  const fault = status(code);
  const name = `not cached, upstream answers ${code}`;
  return {
    name,
    original: "401",
    ours: "same",
    id: `n${code}`,
    fault,
    isCached: false,
    answer: "unauthorized",
  };
}

const CUT: Fault = { kind: "cut", framing: "length", afterBytes: 40 };
const CUT_CHUNKED: Fault = { kind: "cut", framing: "chunked", afterBytes: 40 };
const HALF_JSON = body('{"dynamic_configs":{"config_public":{', { "x-since-time": "1800000000000" });
const NO_UPDATE = body('{"has_updates":false}');
const WITH_401_TEXT = status(500, '{"error":"401 Unauthorized"}');

/** `hang` of a key that is not cached is left to the tests of time limits: it takes 10 s. */
export const FAILURE_ROWS: readonly FailureRow[] = [
  cached("upstream answers 401", "h401", status(401)),
  cached("upstream answers 403", "h403", status(403)),
  cached("upstream answers 500", "h500", status(500)),
  cached("upstream answers 500 with a text about 401", "h500t", WITH_401_TEXT),
  cached("upstream answers 404", "h404", status(404)),
  cached("upstream answers 429", "h429", status(429)),
  cached("upstream answers 304", "h304", status(304)),
  cached("upstream resets the connection", "hreset", { kind: "reset" }),
  cached("upstream hangs", "hhang", { kind: "hang" }),
  cached("the body is cut", "hcut", CUT),
  cached("the chunked body is cut", "hcutc", CUT_CHUNKED),
  cached("half of a JSON text", "hhalf", HALF_JSON, "200 with half of the JSON text"),
  cached("an empty body", "hempty", body("", { "x-since-time": "1800000000000" }), "200 with an empty body"),
  cached(
    '{"has_updates":false} with a newer lcut',
    "hnone",
    body('{"has_updates":false}', { "x-since-time": "1800000000000" }),
    '200 with {"has_updates":false} in place of the config',
  ),
  unauthorized(401),
  unauthorized(403),
  first("upstream answers 500", "n500", status(500)),
  first("upstream answers 500 with a text about 401", "n500t", WITH_401_TEXT),
  first("upstream answers 404", "n404", status(404)),
  first("upstream answers 429", "n429", status(429)),
  first("upstream answers 304", "n304", status(304)),
  first("upstream resets the connection", "nreset", { kind: "reset" }),
  first("the body is cut", "ncut", CUT),
  first("half of a JSON text", "nhalf", HALF_JSON, "200 with half of the JSON text"),
  first('{"has_updates":false}', "nnone", NO_UPDATE, '200 with {"has_updates":false}'),
];

export const UNKNOWN_KEYS: DropInRow = {
  name: "unknown SDK keys, one after the other",
  original: "401 for each, however many there are",
  ours: { does: "401, and 429 beyond a rate", subject: "unknown SDK keys" },
};

export const UNKNOWN_KEY_AGAIN: DropInRow = {
  name: "an unknown SDK key, asked for again and again",
  original: "401, and upstream is asked at each poll",
  ours: { does: "401, and upstream is asked once in 30 s", subject: "unknown SDK keys" },
};
