import { djb2 } from "../access/sdk-key.ts";
import type { Clock, Instant } from "../platform/clock.ts";
import type { SharedBytes } from "../platform/shared-bytes.ts";
import { type Feed, OFFERED_CODINGS } from "../specs/feed.ts";
import { describeTooLarge, type RawPayload } from "../specs/payload/payload.ts";
import type { SnapshotSource } from "../specs/snapshot.ts";
import type { FetchOutcome, HeldVersion, RelayedOrigin, SpecSource } from "../specs/source.ts";
import { readBody, type UpstreamEndpoint } from "./endpoint.ts";
import { badStatus, broken } from "./errors.ts";
import { discardBody, exchange } from "./exchange.ts";

/** Fetches config specs from Statsig's CDN or another relay (docs/protocol.md, Upstream requests). */
export class StatsigSpecs implements SpecSource {
  readonly #endpoint: UpstreamEndpoint;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #observed: { isRelay: boolean };

  /**
   * A body that is longer than `maxBytes` is refused before it is read completely. `observed` is kept up to date: whether the last
   * response came from a relay.
   */
  constructor(
    endpoint: UpstreamEndpoint,
    clock: Clock,
    maxBytes: number,
    observed: { isRelay: boolean } = { isRelay: false },
  ) {
    this.#maxBytes = maxBytes;
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#observed = observed;
  }

  async fetchSpecs(
    feed: Feed,
    held: HeldVersion,
    signal: AbortSignal,
    progressed: () => void = () => {},
  ): Promise<FetchOutcome> {
    return exchange(
      this.#endpoint,
      createRequest(feed, held),
      { clock: this.#clock, signal, progressed },
      (response, received) => this.#read(response, feed, held, received),
    );
  }

  async #read(
    response: Response,
    feed: Feed,
    held: HeldVersion,
    received: (bytes: number) => void,
  ): Promise<FetchOutcome> {
    const { status, headers } = response;
    if (status === 401 || status === 403) return discardBody(response, { kind: "unauthorized", status });
    const relayed = readRelayedOrigin(headers, this.#clock);
    // An error may come from a load balancer in front of upstream.
    if (status < 400) this.#observed.isRelay = relayed !== undefined;
    const lcut = parseLcutHeader(headers, "x-since-time");
    const noUpdate = { kind: "no_update", relayed, lcut } as const;
    if (status === 304) return discardBody(response, noUpdate);
    if (status < 200 || status > 299) return discardBody(response, badStatus(response, this.#clock.now()));
    if (held.lcut > 0 && headers.get("x-cache-hit") === "true") {
      return discardBody(response, noUpdate);
    }
    const { deltaBase: base } = held;
    if (isDelta(headers) && base === undefined)
      return discardBody(response, broken("upstream sent a delta that was not requested"));
    const body = await readBody(response, this.#maxBytes, received);
    if (body === undefined) {
      return { kind: "refused", reason: "too_large", detail: describeTooLarge(this.#maxBytes) };
    }
    if (isNoUpdate(body)) return noUpdate;
    return {
      kind: "payload",
      relayed,
      raw: {
        body,
        contentEncoding: (headers.get("content-encoding") ?? "").trim().toLowerCase(),
        format: isProto(headers) ? "proto" : "json",
        headerLcut: lcut,
        sdkKeyHash: djb2(feed.sdkKey),
        ...(base !== undefined && describeDelta(headers, base)),
      },
    };
  }
}

/** Returns how to read a response to a request that named `base`: only the header says whether it is a delta. */
function describeDelta(headers: Headers, base: SharedBytes): Pick<RawPayload, "delta" | "mustBeWhole"> {
  if (!isDelta(headers)) return { mustBeWhole: true };
  return { delta: { base, contentDigest: headers.get("x-sfp-content-digest")?.trim() || undefined } };
}

function createRequest(feed: Feed, held: HeldVersion) {
  const proto = feed.format === "proto";
  const query = new URLSearchParams();
  if (held.lcut > 0) {
    query.set("sinceTime", String(held.lcut));
    if (held.checksum !== "") query.set("checksum", held.checksum);
  }
  if (proto) query.set("supports_proto", "true");
  if (held.deltaBase !== undefined) query.set("accept_deltas", "true");
  const path = `/${feed.version}/download_config_specs/${feed.sdkKey}.json`;
  return {
    path: query.size > 0 ? `${path}?${query}` : path,
    headers: {
      "accept-encoding": OFFERED_CODINGS[feed.format].join(", "),
      ...(proto && { "statsig-supports-proto": "true" }),
    },
  };
}

function isProto(headers: Headers): boolean {
  return (headers.get("content-type") ?? "").trim().toLowerCase().startsWith("application/octet-stream");
}

/** A delta fits the version of one client (docs/protocol.md, Deltas): it must never be served to others. */
function isDelta(headers: Headers): boolean {
  const used = headers.get("x-deltas-used")?.trim().toLowerCase() ?? "";
  return used !== "" && used !== "false" && used !== "0";
}

/** Returns the lcut in a header, or undefined if there is no valid one. */
export function parseLcutHeader(headers: Headers, name: string): number | undefined {
  const text = headers.get(name)?.trim() ?? "";
  const lcut = /^\d+$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(lcut) && lcut > 0 ? lcut : undefined;
}

/** The usual response to a poll. Detected here, so that it is not sent to the Worker. */
function isNoUpdate(body: Uint8Array): boolean {
  return (
    body.length <= 64 && /^\s*\{\s*"has_updates"\s*:\s*false\s*\}\s*$/.test(new TextDecoder().decode(body))
  );
}

const SOURCES: readonly SnapshotSource[] = ["upstream", "redis", "local", "bootstrap"];

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** Resolution of the `Date` header. */
const DATE_STEP_MS = 1_000;

/** Clocks that differ by less than this count as equal: NTP keeps them closer, but the response takes its time. */
const SAME_CLOCK_MS = 2_000;

/**
 * Returns what the headers of a response say about the version of an upstream relay, or undefined for a response of Statsig's
 * servers or the original proxy, which do not send these headers.
 */
export function readRelayedOrigin(headers: Headers, clock: Clock): RelayedOrigin | undefined {
  const source = headers.get("x-sfp-source");
  const confirmedAt = headers.get("x-sfp-confirmed-at");
  if (source === null && confirmedAt === null) return undefined;
  // Parameters may follow, such as the host of an endpoint.
  const word = source?.split(";", 1)[0]?.trim();
  return {
    source: SOURCES.find((known) => known === word) ?? "upstream",
    confirmed: readConfirmed(confirmedAt?.trim() ?? "", headers.get("date"), clock),
  };
}

/** Never later than now: a confirmation from the future would outlast every real one. */
function readConfirmed(text: string, date: string | null, clock: Clock): Instant | undefined {
  const claimed = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(claimed)) return undefined;
  const [now, elapsed] = [clock.now(), clock.elapsed()];
  const theirNow = Date.parse(date ?? "");
  if (Number.isNaN(theirNow) || Math.abs(theirNow - now) <= SAME_CLOCK_MS) {
    const at = Math.min(claimed, now);
    return { at, elapsed: elapsed - (now - at) };
  }
  // The clocks differ: use the age by upstream's own clock, rounded up.
  const ageMs = Math.max(0, theirNow + DATE_STEP_MS - claimed);
  return { at: now - ageMs, elapsed: elapsed - ageMs };
}
