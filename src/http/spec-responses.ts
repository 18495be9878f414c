import type { Delta } from "../specs/deltas/delta.ts";
import {
  type Confirmed,
  type ContentCoding,
  NO_UPDATE_JSON,
  type Snapshot,
  type SpecOrigin,
  toOrigin,
} from "../specs/snapshot.ts";
import { connectionLines, headerLines, httpDate, statusLine } from "./http1/response.ts";
import type { AcceptedCodings } from "./negotiation.ts";
import { type DeltaUse, type RequestCell, type RequestMeter, readPayloadType } from "./observer.ts";
import { BytesResponse } from "./response-content.ts";
import { COMMON_HEADERS } from "./responses.ts";

/** The responses for one snapshot in one coding: with the body, and for a client that has it already. */
interface SpecResponse {
  readonly full: PreparedResponse;
  readonly notModified: PreparedResponse;
  readonly entityTag: string;
}

interface SnapshotResponses {
  readonly byCoding: Partial<Record<ContentCoding, SpecResponse>>;
  readonly byDelta: Map<Delta, PreparedResponse>;
  noUpdate?: PreparedResponse;
  origin: SpecOrigin;
}

const NO_UPDATE = new TextEncoder().encode(NO_UPDATE_JSON);

const FULL: DeltaUse = { result: "full", savedBytes: 0 };

const VARY = "accept-encoding, statsig-api-key, statsig-supports-proto";

/** The prepared responses of each snapshot. They are made on first use, and released with the snapshot. */
export class SpecResponses {
  readonly #meter: RequestMeter;
  readonly #bySnapshot = new WeakMap<Snapshot, SnapshotResponses>();

  constructor(meter: RequestMeter) {
    this.#meter = meter;
  }

  /** Returns the responses for a coding in which the snapshot is held. */
  spec(held: Confirmed, coding: ContentCoding): SpecResponse {
    const responses = this.#find(held);
    responses.byCoding[coding] ??= this.#prepareSpec(held.snapshot, coding, responses.origin);
    return responses.byCoding[coding];
  }

  /**
   * Returns `{"has_updates":false}`. It is plain JSON and never compressed, also if the specs are protobuf (docs/protocol.md,
   * Config specs over HTTP).
   */
  noUpdate(held: Confirmed): PreparedResponse {
    const responses = this.#find(held);
    responses.noUpdate ??= this.#prepare(held.snapshot, 200, NO_UPDATE, {
      ...commonHeaders(held.snapshot, responses.origin),
      "content-type": "application/json",
      // A relay as the client takes it for "no update", as the original proxy does from 4.3 on.
      "x-cache-hit": "true",
    });
    return responses.noUpdate;
  }

  /** Returns what a client needs that holds an earlier version (docs/protocol.md, Deltas). */
  delta(held: Confirmed, delta: Delta): PreparedResponse {
    const responses = this.#find(held);
    let response = responses.byDelta.get(delta);
    if (response === undefined) {
      const { contentDigest } = held.snapshot;
      const headers = {
        ...commonHeaders(held.snapshot, responses.origin),
        etag: `"${delta.digest}-delta"`,
        "content-type": "application/octet-stream",
        "content-encoding": "statsig-br",
        "x-deltas-used": "true",
        // A relay verifies what it makes of the delta.
        ...(contentDigest !== undefined && { "x-sfp-content-digest": contentDigest }),
        // It fits clients of some versions only: not even a private cache may keep it for another request.
        "cache-control": "private, no-store",
      };
      const savedBytes = held.snapshot.bytes.length - delta.bytes.length;
      response = this.#prepare(held.snapshot, 200, delta.bytes, headers, { result: "delta", savedBytes });
      responses.byDelta.set(delta, response);
    }
    return response;
  }

  /** Updates the headers of existing responses after upstream confirmed that the snapshot is the newest. */
  updateConfirmed(held: Confirmed): void {
    const responses = this.#bySnapshot.get(held.snapshot);
    const origin = toOrigin(held);
    const { confirmedAt } = origin;
    if (responses === undefined || confirmedAt === undefined) return;
    responses.origin = origin;
    const prepared = Object.values(responses.byCoding).flatMap(({ full, notModified }) => [
      full,
      notModified,
    ]);
    for (const each of [...prepared, ...responses.byDelta.values(), responses.noUpdate ?? []].flat()) {
      each.setHeader("x-sfp-confirmed-at", confirmedAt);
    }
  }

  #find(held: Confirmed): SnapshotResponses {
    let responses = this.#bySnapshot.get(held.snapshot);
    if (responses === undefined) {
      responses = { byCoding: {}, byDelta: new Map(), origin: toOrigin(held) };
      this.#bySnapshot.set(held.snapshot, responses);
    }
    return responses;
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
      full: this.#prepare(snapshot, 200, bytes, { ...same, ...body }, FULL),
      notModified: this.#prepare(snapshot, 304, undefined, same),
      entityTag,
    };
  }

  /** `delta` is how a client that accepts deltas is counted. */
  #prepare(
    { feed, lcut }: Snapshot,
    status: number,
    body: Uint8Array | undefined,
    headers: Readonly<Record<string, string>>,
    delta?: DeltaUse,
  ): PreparedResponse {
    const path = `/${feed.version}/download_config_specs`;
    const contentEncoding = headers["content-encoding"] ?? "identity";
    const payloadType = readPayloadType(path, status, new Headers(headers));
    const specBytes = payloadType === "full" || payloadType === "delta" ? (body?.length ?? 0) : 0;
    const request = { sdkKey: feed.sdkKey, path, status, contentEncoding, lcut, payloadType, specBytes };
    return new PreparedResponse({ status, body, headers }, ({ label: acceptEncoding }, wantsDelta) =>
      this.#meter.cell({ ...request, acceptEncoding, delta: wantsDelta ? delta : undefined }),
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
    // The responses depend on a secret: shared caches must not keep them.
    "cache-control": "private, no-cache",
  };
}

interface PreparedInit {
  readonly status: number;
  /** Undefined if the status allows no body. */
  readonly body: Uint8Array | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Returns the cell that counts a response to a client with these codings that may accept a delta. */
type CellFor = (accepted: AcceptedCodings, wantsDelta: boolean) => RequestCell;

/** A response that all clients share: a body in one coding, and its headers. */
export class PreparedResponse {
  readonly status: number;
  readonly body: Uint8Array | undefined;
  readonly #headers: Headers;
  readonly #cellFor: CellFor;
  /** Indexed by `AcceptedCodings.kind` and `wantsDelta`. */
  readonly #cells: (RequestCell | undefined)[] = [];
  #http1Head:
    | { readonly bytes: Buffer; readonly date: string; readonly keepAliveTimeoutS: number }
    | undefined;

  constructor({ status, body, headers }: PreparedInit, cellFor: CellFor) {
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

  /** Returns it as a web standard Response, which refers to the one body. */
  response(): Response {
    const init = { status: this.status, headers: this.#headers };
    return this.body === undefined ? new Response(null, init) : new BytesResponse(this.body, init);
  }

  /**
   * Returns the status line and headers for HTTP/1.1. Undefined for `keepAliveTimeoutS` means that the connection closes
   * after the response.
   */
  http1Head(keepAliveTimeoutS: number | undefined): Buffer {
    if (keepAliveTimeoutS === undefined) return this.#encodeHttp1Head(undefined);
    const date = httpDate();
    const made = this.#http1Head;
    if (made !== undefined && made.date === date && made.keepAliveTimeoutS === keepAliveTimeoutS)
      return made.bytes;
    const bytes = this.#encodeHttp1Head(keepAliveTimeoutS);
    this.#http1Head = { bytes, date, keepAliveTimeoutS };
    return bytes;
  }

  /** Returns the cell that counts this response for such a client. */
  cell(accepted: AcceptedCodings, wantsDelta: boolean): RequestCell {
    const index = 2 * accepted.kind + Number(wantsDelta);
    const known = this.#cells[index];
    if (known !== undefined) return known;
    const cell = this.#cellFor(accepted, wantsDelta);
    this.#cells[index] = cell;
    return cell;
  }

  #encodeHttp1Head(keepAliveTimeoutS: number | undefined): Buffer {
    const lines = statusLine(this.status) + headerLines(this.#headers) + connectionLines(keepAliveTimeoutS);
    return Buffer.from(lines, "latin1");
  }
}
