import type { SdkKey } from "../access/sdk-key.ts";
import type { ListFileResponse, ListFileSource } from "../id-lists/download.ts";
import { MAX_MANIFEST_BYTES, type ManifestOutcome, type ManifestSource } from "../id-lists/manifest.ts";
import type { Clock } from "../platform/clock.ts";
import { inspectCoded } from "../specs/payload/encoding.ts";
import { PayloadRefused } from "../specs/payload/payload.ts";
import { readBody, type UpstreamEndpoint } from "./endpoint.ts";
import { badStatus, broken, describeNetworkError, failedToConnect, failedToRead } from "./errors.ts";
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

/**
 * Without a byte of the answer for so long, a download is given up. There is no limit on the whole: a file takes as
 * long as it is large.
 */
const SILENCE_LIMIT_MS = 10_000;

/** Files of ID lists from wherever a manifest says. No SDK key is sent along: the host may be anybody's. */
export class IdListFiles implements ListFileSource {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async fetchFile(url: string, from: number, outer: AbortSignal): Promise<ListFileResponse> {
    const silence = new AbortController();
    const signal = AbortSignal.any([outer, silence.signal]);
    // Ranges count bytes of the file itself, so it must come as it is.
    const range = from > 0 ? { range: `bytes=${from}-` } : {};
    const headers = { "accept-encoding": "identity", ...range };
    try {
      const asked = fetch(url, { headers, signal, decompress: false });
      const response = await this.#unlessSilent(asked, silence);
      return await this.#read(response, from, silence, outer);
    } catch (error) {
      outer.throwIfAborted();
      return { kind: "failed", detail: describe(error) };
    }
  }

  async #read(
    response: Response,
    from: number,
    silence: AbortController,
    outer: AbortSignal,
  ): Promise<ListFileResponse> {
    const { status, headers, body } = response;
    const answer = judge(status, headers, from);
    if ((answer !== "rest" && answer !== "whole") || body === null) {
      await body?.cancel();
      if (typeof answer !== "string") return answer;
      return { kind: "failed", detail: "upstream sent no body" };
    }
    const length = headers.get("content-length");
    const promised = length === null ? undefined : Number(length);
    return { kind: answer, chunks: this.#chunks(body, promised, silence, outer) };
  }

  async *#chunks(
    body: ReadableStream<Uint8Array>,
    promised: number | undefined,
    silence: AbortController,
    outer: AbortSignal,
  ): AsyncIterable<Uint8Array> {
    const reader = body.getReader();
    let received = 0;
    try {
      for (;;) {
        const { done, value } = await this.#unlessSilent(reader.read(), silence);
        if (done) break;
        received += value.length;
        yield value;
      }
    } catch (error) {
      outer.throwIfAborted();
      throw new Error(describe(error));
    } finally {
      // Also where the reader has had enough: the rest is not fetched.
      silence.abort();
    }
    if (promised !== undefined && received !== promised) throw new Error("the answer broke off");
  }

  async #unlessSilent<T>(work: Promise<T>, silence: AbortController): Promise<T> {
    const heard = new AbortController();
    this.#clock.sleep(SILENCE_LIMIT_MS, heard.signal).then(
      () => silence.abort(new Silence()),
      () => {},
    );
    try {
      return await work;
    } finally {
      heard.abort();
    }
  }
}

class Silence extends Error {}

function describe(error: unknown): string {
  if (error instanceof Silence) return `nothing from upstream within ${SILENCE_LIMIT_MS / 1_000} s`;
  return describeNetworkError(error);
}

function judge(status: number, headers: Headers, from: number): "rest" | "whole" | ListFileResponse {
  const coding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  const range = headers.get("content-range") ?? "";
  if (status === 416) {
    const [, size] = /^bytes \*\/(\d+)$/.exec(range) ?? [];
    return { kind: "nothing_new", size: size === undefined ? undefined : Number(size) };
  }
  if (status !== 200 && status !== 206) return { kind: "failed", detail: `upstream answered ${status}` };
  if (coding !== "" && coding !== "identity") {
    return { kind: "failed", detail: `upstream sent the content encoding ${coding.slice(0, 40)}` };
  }
  if (status === 200) return "whole";
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? [];
  const isTheRest = Number(first) === from && (size === "*" || Number(last) === Number(size) - 1);
  return isTheRest ? "rest" : { kind: "failed", detail: "upstream sent another part than was asked for" };
}
