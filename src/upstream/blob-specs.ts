import { djb2 } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import type { Feed } from "../specs/feed.ts";
import { describeTooLarge } from "../specs/payload/payload.ts";
import type { FetchFailure, FetchOutcome, SpecSource } from "../specs/source.ts";
import { signBlobPath } from "./blob-url.ts";
import { readBody, type UpstreamEndpoint } from "./endpoint.ts";
import { badStatus } from "./errors.ts";
import { discardBody, exchange } from "./exchange.ts";
import { parseLcutHeader } from "./specs.ts";

interface BlobSpecsOptions {
  /** The blob service of the account. */
  readonly endpoint: UpstreamEndpoint;
  readonly storage: BlobStorage;
  /** Asked for what is missing in the storage. */
  readonly fallback: SpecSource;
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

const CONTAINERS: Readonly<Record<Feed["version"], string>> = { v1: "dcs-v1", v2: "dcs-v2" };

/** The metadata of a blob that says which version it holds. */
const LCUT_HEADER = "x-ms-meta-lcut";

/** How a request for a blob ended: with what it is for, without a blob, or, for `HEAD` alone, with the need for the body. */
type BlobOutcome = FetchOutcome | { readonly kind: "missing" } | { readonly kind: "wanted" };

/**
 * Fetches config specs from Azure Blob Storage: one blob for each API version and SDK key, whatever format a client wants. Only what
 * is missing there is requested from upstream, as is JSON if the blob is protobuf. That the storage rejects a request is a failure, as the SDK key may be valid.
 */
export class BlobSpecs implements SpecSource {
  readonly #options: BlobSpecsOptions;

  constructor(options: BlobSpecsOptions) {
    this.#options = options;
  }

  async fetchSpecs(
    feed: Feed,
    sinceTime: number,
    signal: AbortSignal,
    progressed: () => void = () => {},
  ): Promise<FetchOutcome> {
    const known = sinceTime > 0 ? await this.#ask("HEAD", feed, sinceTime, signal, progressed) : undefined;
    const outcome =
      known === undefined || known.kind === "wanted"
        ? await this.#ask("GET", feed, sinceTime, signal, progressed)
        : known;
    if (outcome.kind === "missing" || outcome.kind === "wanted") {
      return this.#options.fallback.fetchSpecs(feed, sinceTime, signal, progressed);
    }
    return outcome;
  }

  #ask(
    method: "HEAD" | "GET",
    feed: Feed,
    sinceTime: number,
    signal: AbortSignal,
    progressed: () => void,
  ): Promise<BlobOutcome> {
    const { endpoint, clock } = this.#options;
    const request = { ...(method === "HEAD" && { method }), path: this.#sign(feed), headers: {} };
    const read = (response: Response, received: (bytes: number) => void): Promise<BlobOutcome> => {
      if (response.status === 404) return discardBody(response, { kind: "missing" });
      return method === "HEAD" ? readMetadata(response, sinceTime) : this.#readBlob(response, feed, received);
    };
    return exchange(endpoint, request, { clock, signal, progressed }, read);
  }

  #sign(feed: Feed): string {
    const { storage, clock } = this.#options;
    return signBlobPath(storage, {
      container: CONTAINERS[feed.version],
      name: `${storage.companyId}/${feed.sdkKey}`,
      isHttps: storage.baseUrl.startsWith("https:"),
      now: clock.now(),
    });
  }

  async #readBlob(response: Response, feed: Feed, received: (bytes: number) => void): Promise<BlobOutcome> {
    const { clock, maxBytes } = this.#options;
    const { headers } = response;
    if (response.status !== 200) return discardBody(response, refusedBy(response, clock.now()));
    const contentEncoding = (headers.get("content-encoding") ?? "").trim().toLowerCase();
    // Storage sends application/octet-stream for any blob that was stored without a type.
    const format = contentEncoding === "statsig-br" ? "proto" : "json";
    if (format === "proto" && feed.format === "json") return discardBody(response, { kind: "missing" });
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

/** Without metadata that says otherwise, the blob is requested: it shows what is wrong. */
async function readMetadata(response: Response, sinceTime: number): Promise<BlobOutcome> {
  const lcut = response.ok ? parseLcutHeader(response.headers, LCUT_HEADER) : undefined;
  return discardBody(response, { kind: lcut !== undefined && lcut <= sinceTime ? "no_update" : "wanted" });
}

/** Names the error code of Azure, which says what to correct. */
function refusedBy(response: Response, now: number): FetchFailure {
  const code = response.headers.get("x-ms-error-code") ?? "";
  const shown = /^\w{1,60}$/.test(code) ? ` (${code})` : "";
  return { ...badStatus(response, now), detail: `Azure Blob Storage answered ${response.status}${shown}` };
}
