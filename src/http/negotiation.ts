import { LRUCache } from "lru-cache";
import Negotiator from "negotiator";
import type { ContentCoding } from "../specs/snapshot.ts";

/** What a client can read, of what the relay can send. */
export interface AcceptedCodings {
  /** The best coding for a JSON body; undefined where the client accepts none, not even identity. */
  readonly json: ContentCoding | undefined;
  /** Whether it takes protobuf specs, which come in no other coding. */
  readonly statsigBr: boolean;
}

/** Among codings that a client likes the same: zstd is as small as br and decoded three times as fast. */
const JSON_CODINGS = ["zstd", "br", "gzip", "identity"] as const;

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
  const [json] = negotiator.encodings(JSON_CODINGS, { preferred: JSON_CODINGS });
  return {
    json: JSON_CODINGS.find((coding) => coding === json),
    statsigBr: negotiator.encodings(["statsig-br"]).length > 0,
  };
}
