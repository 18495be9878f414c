import { sendRequest } from "#runtime/requests.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import type { ListFileResponse, ListFileSource } from "../id-lists/download.ts";
import { MAX_MANIFEST_BYTES, type ManifestOutcome, type ManifestSource } from "../id-lists/manifest.ts";
import { moveFileUrl } from "../id-lists/on-demand.ts";
import { abortAfter, withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { describeNetworkError } from "../platform/network-errors.ts";
import { inspectCoded } from "../specs/payload/encoding.ts";
import { PayloadRefused } from "../specs/payload/payload.ts";
import { createOwnHeaders, readBody, type UpstreamEndpoint } from "./endpoint.ts";
import { badStatus, broken } from "./errors.ts";
import { discardBody, exchange } from "./exchange.ts";
import { DEFAULT_LIMITS, type TimeLimits } from "./time-limit.ts";

const TOO_LARGE = `the body is larger than ${MAX_MANIFEST_BYTES} bytes`;

/** Fetches manifests of ID lists from Statsig or another relay (docs/protocol.md, Upstream requests). */
export class StatsigIdLists implements ManifestSource {
  readonly #endpoint: UpstreamEndpoint;
  readonly #clock: Clock;

  constructor(endpoint: UpstreamEndpoint, clock: Clock) {
    this.#endpoint = endpoint;
    this.#clock = clock;
  }

  async fetchManifest(sdkKey: SdkKey, signal: AbortSignal): Promise<ManifestOutcome> {
    return exchange(
      this.#endpoint,
      createRequest(sdkKey),
      { clock: this.#clock, signal },
      (response, received) => this.#read(response, received),
    );
  }

  async #read(response: Response, received: (bytes: number) => void): Promise<ManifestOutcome> {
    const { status, ok, headers } = response;
    if (status === 401 || status === 403) return discardBody(response, { kind: "unauthorized", status });
    if (!ok) return discardBody(response, badStatus(response, this.#clock.now()));
    const body = await readBody(response, MAX_MANIFEST_BYTES, received);
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

function createRequest(sdkKey: SdkKey) {
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

interface IdListFilesOptions {
  readonly relayVersion: string;
  /** `connectMs` is not used: connecting counts as silence. By default, a file may take as long as it takes. */
  readonly limits?: TimeLimits;
  /** Replaces the host of files whose path is one of Statsig's. Has no trailing slash. */
  readonly baseUrl?: string | undefined;
}

/** Downloads list files from the URLs in a manifest. Sends no SDK key, because the manifest may name any host. */
export class IdListFiles implements ListFileSource {
  readonly #clock: Clock;
  readonly #limits: TimeLimits;
  readonly #ownHeaders: Readonly<Record<string, string>>;
  readonly #baseUrl: string | undefined;

  constructor(clock: Clock, { relayVersion, limits = DEFAULT_LIMITS, baseUrl }: IdListFilesOptions) {
    this.#clock = clock;
    this.#baseUrl = baseUrl;
    this.#limits = limits;
    this.#ownHeaders = createOwnHeaders(relayVersion);
  }

  async fetchFile(url: string, from: number, outer: AbortSignal, size: number): Promise<ListFileResponse> {
    const ended = new AbortController();
    const signal = AbortSignal.any([outer, ended.signal]);
    this.#endLate(ended);
    // Ranges count bytes of the file itself, so it must not be encoded.
    const range = from > 0 ? { range: `bytes=${from}-` } : {};
    // An original proxy as upstream fetches the file again only if its copy is shorter.
    const known = size > 0 ? { "statsig-id-list-file-size": String(size) } : {};
    const headers = { ...this.#ownHeaders, "accept-encoding": "identity", ...range, ...known };
    try {
      const target = (this.#baseUrl && moveFileUrl(url, this.#baseUrl)) || url;
      const request = sendRequest(target, { headers, signal, decompress: false });
      const response = await this.#abortIfSilent(request, ended);
      return await this.#read(response, from, ended, outer);
    } catch (error) {
      outer.throwIfAborted();
      return { kind: "failed", detail: describeError(ended.signal.reason ?? error) };
    }
  }

  /** Ends the request after the total time, if that is limited. */
  #endLate(ended: AbortController): void {
    const { totalMs } = this.#limits;
    if (totalMs === undefined) return;
    const late = `the download took longer than ${totalMs / 1_000} s (--http-request-timeout-in-s)`;
    abortAfter(ended, totalMs, this.#clock, new DownloadEnded(late));
  }

  async #read(
    response: Response,
    from: number,
    ended: AbortController,
    outer: AbortSignal,
  ): Promise<ListFileResponse> {
    const { status, headers, body } = response;
    const part = checkHeaders(status, headers, from);
    if ((part !== "rest" && part !== "whole") || body === null) {
      await body?.cancel();
      if (typeof part !== "string") return part;
      return { kind: "failed", detail: "upstream sent no body" };
    }
    const length = headers.get("content-length");
    const expected = length === null ? undefined : Number(length);
    return { kind: part, chunks: this.#readChunks(body, expected, ended, outer) };
  }

  async *#readChunks(
    body: ReadableStream<Uint8Array>,
    expected: number | undefined,
    ended: AbortController,
    outer: AbortSignal,
  ): AsyncIterable<Uint8Array> {
    const reader = body.getReader();
    let received = 0;
    try {
      for (;;) {
        const { done, value } = await this.#abortIfSilent(reader.read(), ended);
        if (done) break;
        received += value.length;
        yield value;
      }
    } catch (error) {
      outer.throwIfAborted();
      throw new Error(describeError(ended.signal.reason ?? error));
    } finally {
      // Also if the consumer stops early: cancels the rest of the download.
      ended.abort();
    }
    if (expected !== undefined && received !== expected) throw new Error("the response broke off");
  }

  async #abortIfSilent<T extends object>(work: Promise<T>, ended: AbortController): Promise<T> {
    const { readMs } = this.#limits;
    const result = await withTimeout(work, readMs, this.#clock);
    if (result !== undefined) return result;
    const silent = new DownloadEnded(`no data from upstream for ${readMs / 1_000} s`);
    ended.abort(silent);
    throw silent;
  }
}

/** A limit of time ended the download. */
class DownloadEnded extends Error {}

function describeError(error: unknown): string {
  return error instanceof DownloadEnded ? error.message : describeNetworkError(error);
}

/** Returns which part of the file the body is, or the outcome if the body is of no use. */
function checkHeaders(status: number, headers: Headers, from: number): "rest" | "whole" | ListFileResponse {
  const coding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  const range = headers.get("content-range") ?? "";
  if (status === 416) {
    const [, size] = /^bytes \*\/(\d+)$/.exec(range) ?? [];
    return { kind: "range_not_satisfiable", size: size === undefined ? undefined : Number(size) };
  }
  if (status !== 200 && status !== 206) return { kind: "failed", detail: `upstream answered ${status}` };
  if (coding !== "" && coding !== "identity") {
    return { kind: "failed", detail: `unexpected content encoding "${coding.slice(0, 40)}"` };
  }
  if (status === 200) return "whole";
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? [];
  const isTheRest = Number(first) === from && (size === "*" || Number(last) === Number(size) - 1);
  return isTheRest ? "rest" : { kind: "failed", detail: "upstream sent a different range than requested" };
}
