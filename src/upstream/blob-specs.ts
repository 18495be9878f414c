import { djb2 } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import type { VersionId } from "../specs/deltas/delta.ts";
import type { Feed } from "../specs/feed.ts";
import { describeTooLarge } from "../specs/payload/payload.ts";
import type { FetchFailure, FetchOutcome, SpecSource } from "../specs/source.ts";
import { signBlobPath } from "./blob-url.ts";
import { readBody, type UpstreamEndpoint } from "./endpoint.ts";
import { badStatus } from "./errors.ts";
import { discardBody, type ExchangeParts, exchange } from "./exchange.ts";
import type { ReportOutcome } from "./response-events.ts";
import { parseLcutHeader } from "./specs.ts";

interface BlobSpecsOptions {
  /** The blob service of the account. */
  readonly endpoint: UpstreamEndpoint;
  readonly storage: BlobStorage;
  /** Asked for what is missing in the storage. */
  readonly fallback: SpecSource;
  /** Called for each outcome that is not the fallback's. */
  readonly report: ReportOutcome;
  readonly clock: Clock;
  /** A longer blob is refused before it is read completely. */
  readonly maxBytes: number;
}

interface BlobStorage {
  readonly baseUrl: string;
  readonly account: string;
  readonly accountKey: string;
  /** The folder of the blobs. */
  readonly companyId: string;
}

/** The container of the blobs of each API version. */
export const CONTAINERS: Readonly<Record<Feed["version"], string>> = { v1: "dcs-v1", v2: "dcs-v2" };

/** The metadata of a blob that says which version it holds. */
const LCUT_HEADER = "x-ms-meta-lcut";

/** The blob is not there, or not in a format that the client reads. */
type Missing = "missing";

/**
 * Fetches config specs from Azure Blob Storage: one blob for each API version and SDK key, whatever format a client wants. Only what
 * is missing there is requested from upstream, as is JSON if the blob is protobuf. If the storage rejects a request, that is a
 * failure: it says nothing about the SDK key.
 */
export class BlobSpecs implements SpecSource {
  readonly #options: BlobSpecsOptions;

  constructor(options: BlobSpecsOptions) {
    this.#options = options;
  }

  async fetchSpecs(
    feed: Feed,
    held: VersionId,
    signal: AbortSignal,
    progressed: () => void = () => {},
  ): Promise<FetchOutcome> {
    const { clock, fallback, report } = this.#options;
    const parts = { clock, signal, progressed };
    const known = held.lcut > 0 ? await this.#askWhetherNewer(feed, held.lcut, parts) : "newer";
    const outcome = known === "newer" ? await this.#fetchBlob(feed, parts) : known;
    if (outcome === "missing") return fallback.fetchSpecs(feed, held, signal, progressed);
    report(feed, held, outcome);
    return outcome;
  }

  /** Asks whether the blob of a feed is there, without reading it. Every failure is a value, as of {@link fetchSpecs}. */
  findBlob(
    feed: Pick<Feed, "sdkKey" | "version">,
    signal: AbortSignal,
  ): Promise<"there" | Missing | FetchFailure> {
    const { endpoint, clock } = this.#options;
    const request = { method: "HEAD", path: this.#sign(feed), headers: {} } as const;
    return exchange<"there" | Missing | FetchFailure>(endpoint, request, { clock, signal }, (response) => {
      if (response.status === 404) return discardBody(response, "missing");
      return discardBody(response, response.ok ? "there" : refusedBy(response, clock.now()));
    });
  }

  /** Without metadata that says otherwise, the blob counts as newer: reading it shows what is wrong. */
  #askWhetherNewer(
    feed: Feed,
    sinceTime: number,
    parts: ExchangeParts,
  ): Promise<FetchOutcome | Missing | "newer"> {
    const request = { method: "HEAD", path: this.#sign(feed), headers: {} } as const;
    return exchange(this.#options.endpoint, request, parts, async (response) => {
      if (response.status === 404) return discardBody(response, "missing");
      const lcut = response.ok ? parseLcutHeader(response.headers, LCUT_HEADER) : undefined;
      const isNewer = lcut === undefined || lcut > sinceTime;
      return discardBody(response, isNewer ? "newer" : { kind: "no_update" });
    });
  }

  #fetchBlob(feed: Feed, parts: ExchangeParts): Promise<FetchOutcome | Missing> {
    const request = { path: this.#sign(feed), headers: {} };
    return exchange(this.#options.endpoint, request, parts, (response, received) =>
      this.#readBlob(response, feed, received),
    );
  }

  #sign(feed: Pick<Feed, "sdkKey" | "version">): string {
    const { storage, clock } = this.#options;
    return signBlobPath(storage, {
      container: CONTAINERS[feed.version],
      name: `${storage.companyId}/${feed.sdkKey}`,
      isHttps: storage.baseUrl.startsWith("https:"),
      now: clock.now(),
    });
  }

  async #readBlob(
    response: Response,
    feed: Feed,
    received: (bytes: number) => void,
  ): Promise<FetchOutcome | Missing> {
    const { clock, maxBytes } = this.#options;
    const { headers } = response;
    if (response.status === 404) return discardBody(response, "missing");
    if (response.status !== 200) return discardBody(response, refusedBy(response, clock.now()));
    const contentEncoding = (headers.get("content-encoding") ?? "").trim().toLowerCase();
    // Storage sends application/octet-stream for any blob that was stored without a type.
    const format = contentEncoding === "statsig-br" ? "proto" : "json";
    if (format === "proto" && feed.format === "json") return discardBody(response, "missing");
    const body = await readBody(response, maxBytes, received);
    if (body === undefined)
      return { kind: "refused", reason: "too_large", detail: describeTooLarge(maxBytes) };
    const headerLcut = parseLcutHeader(headers, LCUT_HEADER);
    return {
      kind: "payload",
      raw: { body, contentEncoding, format, headerLcut, sdkKeyHash: djb2(feed.sdkKey) },
    };
  }
}

/** Names the error code of Azure, which says what to correct. */
function refusedBy(response: Response, now: number): FetchFailure {
  const code = response.headers.get("x-ms-error-code") ?? "";
  const shown = /^\w{1,60}$/.test(code) ? ` (${code})` : "";
  return { ...badStatus(response, now), detail: `Azure Blob Storage answered ${response.status}${shown}` };
}
