import { LRUCache } from "lru-cache";
import Negotiator from "negotiator";
import type { ContentCoding } from "../specs/snapshot.ts";

/** The codings of an Accept-Encoding header that the relay can send. */
export interface AcceptedCodings {
  /** The codings of a JSON body, best first. Empty if the client accepts none, not even identity. */
  readonly json: readonly ContentCoding[];
  /** Whether the client accepts `statsig-br`, the only coding of protobuf specs. */
  readonly statsigBr: boolean;
  /** The codings that Statsig clients are known to offer, as `gzip+br`, or `none`. */
  readonly label: string;
  /** The label as a bit set. */
  readonly kind: number;
}

/** In order of preference if the client has none: zstd is as small as br and decodes three times as fast. */
const JSON_CODINGS = ["zstd", "br", "gzip", "identity"] as const;

/** The codings that SDKs offer. Others are not reported. */
const REPORTED_CODINGS = ["statsig-br", "zstd", "br", "gzip", "deflate"];

/** The most Accept-Encoding headers whose result is cached. An SDK always sends the same one. */
const MAX_CACHED = 256;

/**
 * Reads Accept-Encoding (RFC 9110, 12.5.3) strictly, since SDKs fail on a coding that they did not offer: without the header
 * only identity is accepted.
 */
export class CodingNegotiation {
  readonly #cache = new LRUCache<string, AcceptedCodings>({ max: MAX_CACHED });

  read(acceptEncoding: string | null): AcceptedCodings {
    const header = acceptEncoding ?? "";
    const known = this.#cache.get(header);
    if (known !== undefined) return known;
    const accepted = negotiate(header);
    this.#cache.set(header, accepted);
    return accepted;
  }
}

/** Names that mean a coding that has another name now: `x-gzip` by RFC 9110, 8.4.1.3, `statsig_br` in early SDKs. */
const ALIASES: readonly (readonly [RegExp, string])[] = [
  [/\bx-gzip\b/gi, "gzip"],
  [/\bstatsig_br\b/gi, "statsig-br"],
];

function negotiate(received: string): AcceptedCodings {
  const header = ALIASES.reduce((text, [alias, name]) => text.replace(alias, name), received);
  const negotiator = new Negotiator({ headers: { "accept-encoding": header } });
  const accepted: readonly string[] = negotiator.encodings(JSON_CODINGS, { preferred: JSON_CODINGS });
  const offered = new Set(negotiator.encodings(REPORTED_CODINGS));
  const reported = REPORTED_CODINGS.filter((coding) => offered.has(coding));
  return {
    json: accepted.flatMap((each) => JSON_CODINGS.filter((coding) => coding === each)),
    statsigBr: offered.has("statsig-br"),
    label: reported.join("+") || "none",
    kind: reported.reduce((bits, coding) => bits | (1 << REPORTED_CODINGS.indexOf(coding)), 0),
  };
}
