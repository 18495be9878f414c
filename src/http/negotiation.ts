import { LRUCache } from "lru-cache";
import Negotiator from "negotiator";
import type { ContentCoding } from "../specs/snapshot.ts";

/** What a client can read, of what the relay can send. */
export interface AcceptedCodings {
  /** The codings of a JSON body, the best first; none where the client accepts none, not even identity. */
  readonly json: readonly ContentCoding[];
  /** Whether it takes protobuf specs, which come in no other coding. */
  readonly statsigBr: boolean;
  /** Those that clients of Statsig are known to offer, as `gzip+br`; `none` for none. */
  readonly label: string;
  /** As the label, but a number below {@link ACCEPTED_KINDS}. */
  readonly kind: number;
}

/** Among codings that a client likes the same: zstd is as small as br and decoded three times as fast. */
const JSON_CODINGS = ["zstd", "br", "gzip", "identity"] as const;

/** What SDKs offer; everything else in the header tells nothing. */
const TOLD_CODINGS = ["statsig-br", "zstd", "br", "gzip", "deflate"];

/** Distinct Accept-Encoding headers remembered: an SDK always sends the same. */
const MAX_REMEMBERED = 256;

/**
 * Reads Accept-Encoding (RFC 9110, 12.5.3) strictly: an SDK breaks on a coding that it did not offer. So
 * without the header it is identity alone.
 */
export class CodingNegotiation {
  readonly #remembered = new LRUCache<string, AcceptedCodings>({ max: MAX_REMEMBERED });

  read(acceptEncoding: string | null): AcceptedCodings {
    const header = acceptEncoding ?? "";
    const known = this.#remembered.get(header);
    if (known !== undefined) return known;
    const accepted = negotiate(header);
    this.#remembered.set(header, accepted);
    return accepted;
  }
}

function negotiate(header: string): AcceptedCodings {
  const negotiator = new Negotiator({ headers: { "accept-encoding": header } });
  const accepted: readonly string[] = negotiator.encodings(JSON_CODINGS, { preferred: JSON_CODINGS });
  const offered = new Set(negotiator.encodings(TOLD_CODINGS));
  const told = TOLD_CODINGS.filter((coding) => offered.has(coding));
  return {
    json: accepted.flatMap((each) => JSON_CODINGS.filter((coding) => coding === each)),
    statsigBr: offered.has("statsig-br"),
    label: told.join("+") || "none",
    kind: told.reduce((bits, coding) => bits | (1 << TOLD_CODINGS.indexOf(coding)), 0),
  };
}
