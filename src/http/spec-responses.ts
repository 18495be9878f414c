import { type ContentCoding, NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import { COMMON_HEADERS } from "./common-headers.ts";

/** One body in one coding, with the headers that belong to it: all that an answer needs. */
export interface PreparedBody {
  /** A Blob is sent without a copy for each client, however many are slow. */
  readonly blob: Blob;
  readonly headers: Headers;
  readonly entityTag: string;
}

interface SnapshotBodies {
  readonly byCoding: Partial<Record<ContentCoding, PreparedBody>>;
  noUpdate?: PreparedBody;
}

const VARY = "accept-encoding, statsig-api-key, statsig-supports-proto";

/** Made once for each snapshot, when a client first asks for it, and gone with it. */
const bodiesOf = new WeakMap<Snapshot, SnapshotBodies>();

/** The snapshot in a coding. A coding that it is not held in gives identity (proto: its only one). */
export function specBody(snapshot: Snapshot, coding: ContentCoding): PreparedBody {
  const bodies = forSnapshot(snapshot);
  const actual = snapshot.format === "proto" ? "statsig-br" : coding;
  bodies.byCoding[actual] ??= prepareSpec(snapshot, actual);
  return bodies.byCoding[actual];
}

/** `{"has_updates":false}`: plain JSON, never compressed, also where the specs are protobuf (WIRE 1). */
export function noUpdateBody(snapshot: Snapshot): PreparedBody {
  const bodies = forSnapshot(snapshot);
  bodies.noUpdate ??= {
    blob: new Blob([NO_UPDATE_JSON]),
    headers: new Headers({ ...commonHeaders(snapshot), "content-type": "application/json" }),
    entityTag: "",
  };
  return bodies.noUpdate;
}

function forSnapshot(snapshot: Snapshot): SnapshotBodies {
  let bodies = bodiesOf.get(snapshot);
  if (bodies === undefined) {
    bodies = { byCoding: {} };
    bodiesOf.set(snapshot, bodies);
  }
  return bodies;
}

function prepareSpec(snapshot: Snapshot, coding: ContentCoding): PreparedBody {
  const entityTag = `"${snapshot.digest}-${coding}"`;
  const headers = new Headers({
    ...commonHeaders(snapshot),
    "content-type": snapshot.format === "proto" ? "application/octet-stream" : "application/json",
    etag: entityTag,
  });
  if (coding !== "identity") headers.set("content-encoding", coding);
  return { blob: new Blob([snapshot.compressed[coding] ?? snapshot.bytes]), headers, entityTag };
}

function commonHeaders(snapshot: Snapshot): Record<string, string> {
  return {
    ...COMMON_HEADERS,
    "x-since-time": String(snapshot.lcut),
    vary: VARY,
    // They hang on a secret: no shared cache may keep them.
    "cache-control": "private, no-cache",
  };
}
