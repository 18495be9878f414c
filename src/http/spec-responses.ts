import {
  type Confirmed,
  type ContentCoding,
  NO_UPDATE_JSON,
  type Snapshot,
  type SpecOrigin,
  toOrigin,
} from "../specs/snapshot.ts";
import { connectionLines, headerLines, httpDate, statusLine } from "./http1/response.ts";
import type { RequestCell, RequestMeter } from "./meter.ts";
import type { AcceptedCodings } from "./negotiation.ts";
import { COMMON_HEADERS } from "./responses.ts";

/** A body of a snapshot, and what is said instead to a client that has it. */
interface SpecResponse {
  readonly full: PreparedResponse;
  readonly notModified: PreparedResponse;
  readonly entityTag: string;
}

interface SnapshotAnswers {
  readonly byCoding: Partial<Record<ContentCoding, SpecResponse>>;
  noUpdate?: PreparedResponse;
  origin: SpecOrigin;
}

const NO_UPDATE = new TextEncoder().encode(NO_UPDATE_JSON);

const VARY = "accept-encoding, statsig-api-key, statsig-supports-proto";

/** The answers of each snapshot, made when a client first asks for it, and gone with it. */
export class SpecResponses {
  readonly #meter: RequestMeter;
  readonly #answersOf = new WeakMap<Snapshot, SnapshotAnswers>();

  constructor(meter: RequestMeter) {
    this.#meter = meter;
  }

  /** The snapshot in a coding in which it is held. */
  spec(held: Confirmed, coding: ContentCoding): SpecResponse {
    const answers = this.#of(held);
    answers.byCoding[coding] ??= this.#prepareSpec(held.snapshot, coding, answers.origin);
    return answers.byCoding[coding];
  }

  /** `{"has_updates":false}`: plain JSON, never compressed, also where the specs are protobuf (WIRE 1). */
  noUpdate(held: Confirmed): PreparedResponse {
    const answers = this.#of(held);
    answers.noUpdate ??= this.#prepare(held.snapshot, 200, NO_UPDATE, {
      ...commonHeaders(held.snapshot, answers.origin),
      "content-type": "application/json",
    });
    return answers.noUpdate;
  }

  /** Upstream said that the snapshot is the newest still: its answers say so from now on. */
  confirmed(held: Confirmed): void {
    const answers = this.#answersOf.get(held.snapshot);
    const origin = toOrigin(held);
    const { confirmedAt } = origin;
    if (answers === undefined || confirmedAt === undefined) return;
    answers.origin = origin;
    const prepared = Object.values(answers.byCoding).flatMap(({ full, notModified }) => [full, notModified]);
    for (const answer of [...prepared, answers.noUpdate ?? []].flat()) {
      answer.setHeader("x-sfp-confirmed-at", confirmedAt);
    }
  }

  #of(held: Confirmed): SnapshotAnswers {
    let answers = this.#answersOf.get(held.snapshot);
    if (answers === undefined) {
      answers = { byCoding: {}, origin: toOrigin(held) };
      this.#answersOf.set(held.snapshot, answers);
    }
    return answers;
  }

  #prepareSpec(snapshot: Snapshot, coding: ContentCoding, origin: SpecOrigin): SpecResponse {
    const entityTag = `"${snapshot.digest}-${coding}"`;
    const same = { ...commonHeaders(snapshot, origin), etag: entityTag };
    const body = {
      "content-type": snapshot.format === "proto" ? "application/octet-stream" : "application/json",
      ...(coding !== "identity" && { "content-encoding": coding }),
    };
    const bytes = snapshot.compressed[coding] ?? snapshot.bytes;
    return {
      full: this.#prepare(snapshot, 200, bytes, { ...same, ...body }),
      notModified: this.#prepare(snapshot, 304, undefined, same),
      entityTag,
    };
  }

  #prepare(
    { feed }: Snapshot,
    status: number,
    body: Uint8Array<ArrayBuffer> | undefined,
    headers: Readonly<Record<string, string>>,
  ): PreparedResponse {
    const path = `/${feed.version}/download_config_specs`;
    const contentEncoding = headers["content-encoding"] ?? "identity";
    return new PreparedResponse({ status, body, headers }, ({ label: acceptEncoding }) =>
      this.#meter.cell({ sdkKey: feed.sdkKey, path, status, acceptEncoding, contentEncoding }),
    );
  }
}

function commonHeaders({ lcut }: Snapshot, { source, confirmedAt }: SpecOrigin): Record<string, string> {
  return {
    ...COMMON_HEADERS,
    "x-since-time": String(lcut),
    "x-sfp-source": source,
    ...(confirmedAt !== undefined && { "x-sfp-confirmed-at": confirmedAt }),
    vary: VARY,
    // They hang on a secret: no shared cache may keep them.
    "cache-control": "private, no-cache",
  };
}

interface AnswerInit {
  readonly status: number;
  /** Undefined for a response that has none by its status. */
  readonly body: Uint8Array<ArrayBuffer> | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Finds where an answer is counted. */
type CellFor = (accepted: AcceptedCodings) => RequestCell;

/** A response that is made once for all clients that get the same: a body in one coding, and its headers. */
export class PreparedResponse {
  readonly status: number;
  readonly body: Uint8Array<ArrayBuffer> | undefined;
  readonly #headers: Headers;
  readonly #cellFor: CellFor;
  /** By kind of Accept-Encoding. */
  readonly #cells: (RequestCell | undefined)[] = [];
  #blob: Blob | undefined;
  #http1Head:
    | { readonly bytes: Buffer; readonly date: string; readonly keepAliveTimeoutS: number }
    | undefined;

  constructor({ status, body, headers }: AnswerInit, cellFor: CellFor) {
    this.status = status;
    this.body = body;
    this.#headers = new Headers(headers);
    if (body !== undefined) this.#headers.set("content-length", String(body.length));
    this.#cellFor = cellFor;
  }

  setHeader(name: string, value: string): void {
    this.#headers.set(name, value);
    this.#http1Head = undefined;
  }

  /** As the web standard has it. The responses of all clients share one copy of the body. */
  response(): Response {
    if (this.body !== undefined) this.#blob ??= new Blob([this.body]);
    return new Response(this.#blob ?? null, { status: this.status, headers: this.#headers });
  }

  /** Status line and headers as they go over the wire; with undefined of a response with which the connection ends. */
  http1Head(keepAliveTimeoutS: number | undefined): Buffer {
    if (keepAliveTimeoutS === undefined) return this.#makeHttp1Head(undefined);
    const date = httpDate();
    const made = this.#http1Head;
    if (made !== undefined && made.date === date && made.keepAliveTimeoutS === keepAliveTimeoutS)
      return made.bytes;
    const bytes = this.#makeHttp1Head(keepAliveTimeoutS);
    this.#http1Head = { bytes, date, keepAliveTimeoutS };
    return bytes;
  }

  /** Where it is counted that a client with this Accept-Encoding got it. */
  cell(accepted: AcceptedCodings): RequestCell {
    const known = this.#cells[accepted.kind];
    if (known !== undefined) return known;
    const cell = this.#cellFor(accepted);
    this.#cells[accepted.kind] = cell;
    return cell;
  }

  #makeHttp1Head(keepAliveTimeoutS: number | undefined): Buffer {
    const lines = statusLine(this.status) + headerLines(this.#headers) + connectionLines(keepAliveTimeoutS);
    return Buffer.from(lines, "latin1");
  }
}
