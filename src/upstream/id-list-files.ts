import type { Clock } from "../clock.ts";
import type { ListFileAnswer, ListFileSource } from "../id-lists/list-file-source.ts";
import { describeNetworkError } from "./network-error.ts";

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

  async fetchFile(url: string, from: number, outer: AbortSignal): Promise<ListFileAnswer> {
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
  ): Promise<ListFileAnswer> {
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

function judge(status: number, headers: Headers, from: number): "rest" | "whole" | ListFileAnswer {
  const coding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  const range = headers.get("content-range") ?? "";
  if (status === 416) {
    const [, size] = /^bytes \*\/(\d+)$/.exec(range) ?? [];
    return { kind: "beyond", size: size === undefined ? undefined : Number(size) };
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
