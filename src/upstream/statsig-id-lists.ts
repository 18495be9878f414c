import type { Clock } from "../clock.ts";
import { MAX_MANIFEST_BYTES } from "../id-lists/manifest.ts";
import type { ManifestOutcome, ManifestSource } from "../id-lists/manifest-source.ts";
import { inspectCoded } from "../specs/content-coding.ts";
import { PayloadRefused } from "../specs/payload.ts";
import type { SdkKey } from "../specs/sdk-key.ts";
import { readBody } from "./bounded-body.ts";
import type { UpstreamEndpoint } from "./endpoint.ts";
import { badStatus, broken, failedToConnect, failedToRead } from "./fetch-failure.ts";
import { TimeLimit } from "./time-limit.ts";

const TOO_LARGE = `the body is larger than ${MAX_MANIFEST_BYTES} bytes`;

/** Manifests of ID lists from Statsig, or from another relay (WIRE 2). */
export class StatsigIdLists implements ManifestSource {
  readonly #endpoint: UpstreamEndpoint;
  readonly #clock: Clock;

  constructor(endpoint: UpstreamEndpoint, clock: Clock) {
    this.#endpoint = endpoint;
    this.#clock = clock;
  }

  async fetchManifest(sdkKey: SdkKey, signal: AbortSignal): Promise<ManifestOutcome> {
    using limit = new TimeLimit(this.#clock, this.#endpoint.address, signal);
    let response: Response;
    try {
      response = await this.#endpoint.post(requestFor(sdkKey), limit.signal);
    } catch (error) {
      signal.throwIfAborted();
      return failedToConnect(error, limit.signal.reason);
    }
    limit.answered();
    try {
      return await this.#read(response, limit);
    } catch (error) {
      signal.throwIfAborted();
      return failedToRead(error, limit.signal.reason);
    }
  }

  async #read(response: Response, limit: TimeLimit): Promise<ManifestOutcome> {
    const { status, ok, headers } = response;
    if (!ok) await response.body?.cancel();
    if (status === 401 || status === 403) return { kind: "unauthorized", status };
    if (!ok) return badStatus(response, this.#clock.now());
    const body = await readBody(response, MAX_MANIFEST_BYTES, (bytes) => limit.received(bytes));
    if (body === undefined) return broken(TOO_LARGE);
    const coding = (headers.get("content-encoding") ?? "").trim().toLowerCase();
    let bytes: Uint8Array;
    try {
      bytes = await (await inspectCoded(body, coding, MAX_MANIFEST_BYTES)).decode();
    } catch (error) {
      if (!(error instanceof PayloadRefused)) throw error;
      const isTooLarge = error.reason === "too_large";
      return broken(isTooLarge ? TOO_LARGE : "the body does not decode");
    }
    return { kind: "manifest", text: new TextDecoder().decode(bytes) };
  }
}

function requestFor(sdkKey: SdkKey) {
  return {
    path: "/v1/get_id_lists",
    headers: {
      "statsig-api-key": sdkKey,
      "content-type": "application/json",
      "accept-encoding": "gzip, br",
    },
    body: "{}",
  };
}
