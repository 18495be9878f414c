import { parseSdkKey } from "../access/sdk-key.ts";
import { withTrace } from "../platform/trace-context.ts";
import type { InFlight } from "../server/limits.ts";
import type { ApiVersion } from "../specs/feed.ts";
import type { SpecLookups } from "../specs/query.ts";
import type { HeldFeed } from "../specs/store.ts";
import { StatusError, unauthorized, unavailable } from "./status-error.ts";

/** What a client asks for, over any protocol. Streams carry JSON only. */
export interface FeedRequest {
  /** Any text. */
  readonly sdkKey: string;
  /** Undefined for a version that does not exist. */
  readonly version: ApiVersion | undefined;
  /** The request headers, for the trace that a request to upstream joins. Read only if the feed is not held. */
  readonly headers: () => Pick<Headers, "get">;
}

const MISSING_KEY = "sdkKey is missing";
const MALFORMED_KEY = "sdkKey is not a valid SDK key";

/** Finds the feeds of clients that call RPCs or open streams. */
export class FeedFinder {
  readonly #query: SpecLookups;
  readonly #inFlight: InFlight;

  constructor(query: SpecLookups, inFlight: InFlight) {
    this.#query = query;
    this.#inFlight = inFlight;
  }

  /** Returns the feed if it is held, which is so for most requests. */
  held({ sdkKey, version }: FeedRequest): HeldFeed | undefined {
    return version && this.#query.held(sdkKey, version, "json");
  }

  /** Resolves with the feed, from memory, the backup or upstream. Rejects with a {@link StatusError}, or with an unexpected error. */
  async find(request: FeedRequest): Promise<HeldFeed> {
    using slot = this.#inFlight.enter();
    if (slot === undefined)
      throw new StatusError("resource_exhausted", "Too many requests in flight", { limit: "requests" });
    return this.held(request) ?? (await this.#ask(request));
  }

  async #ask({ sdkKey: text, version, headers }: FeedRequest): Promise<HeldFeed> {
    const sdkKey = parseSdkKey(text);
    if (sdkKey === undefined)
      throw new StatusError("invalid_argument", text === "" ? MISSING_KEY : MALFORMED_KEY);
    // Upstream would reject it (docs/protocol.md, gRPC errors).
    if (version === undefined) throw unauthorized();
    const found = await withTrace(headers(), () => this.#query.ask(sdkKey, version, "json"));
    switch (found.kind) {
      case "held":
        return found.held;
      case "unauthorized":
        throw unauthorized();
      case "unavailable":
        throw unavailable(
          "No config spec available: nothing is cached, and upstream fails",
          found.retryAfterMs,
        );
      case "throttled":
        throw new StatusError("resource_exhausted", "Too many unknown SDK keys", {
          limit: "unknown_keys",
          retryAfterMs: found.retryAfterMs,
        });
    }
  }
}
