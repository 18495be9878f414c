import { type ContentCoding, NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import { type Confirmed, originOf, type SpecOrigin } from "../specs/spec-origin.ts";
import { COMMON_HEADERS } from "./common-headers.ts";
import { PreparedAnswer } from "./prepared-answer.ts";
import type { RequestMeter } from "./request-meter.ts";

/** A body of a snapshot, and what is said instead to a client that has it. */
export interface SpecAnswer {
  readonly full: PreparedAnswer;
  readonly notModified: PreparedAnswer;
  readonly entityTag: string;
}

interface SnapshotAnswers {
  readonly byCoding: Partial<Record<ContentCoding, SpecAnswer>>;
  noUpdate?: PreparedAnswer;
  origin: SpecOrigin;
}

const NO_UPDATE = new TextEncoder().encode(NO_UPDATE_JSON);

const VARY = "accept-encoding, statsig-api-key, statsig-supports-proto";

/** The answers of each snapshot, made when a client first asks for it, and gone with it. */
export class SpecAnswers {
  readonly #meter: RequestMeter;
  readonly #answersOf = new WeakMap<Snapshot, SnapshotAnswers>();

  constructor(meter: RequestMeter) {
    this.#meter = meter;
  }

  /** The snapshot in a coding in which it is held. */
  spec(held: Confirmed, coding: ContentCoding): SpecAnswer {
    const answers = this.#of(held);
    answers.byCoding[coding] ??= this.#prepareSpec(held.snapshot, coding, answers.origin);
    return answers.byCoding[coding];
  }

  /** `{"has_updates":false}`: plain JSON, never compressed, also where the specs are protobuf (WIRE 1). */
  noUpdate(held: Confirmed): PreparedAnswer {
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
    const origin = originOf(held);
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
      answers = { byCoding: {}, origin: originOf(held) };
      this.#answersOf.set(held.snapshot, answers);
    }
    return answers;
  }

  #prepareSpec(snapshot: Snapshot, coding: ContentCoding, origin: SpecOrigin): SpecAnswer {
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
  ): PreparedAnswer {
    const path = `/${feed.version}/download_config_specs`;
    const contentEncoding = headers["content-encoding"] ?? "identity";
    return new PreparedAnswer({ status, body, headers }, ({ label: acceptEncoding }) =>
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
