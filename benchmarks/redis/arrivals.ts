import { setTimeout as sleep } from "node:timers/promises";

const PATH = "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec";
const REQUEST = (sdkKey: string) => JSON.stringify({ sdkKey, version: "v2" });
const FRAME_HEADER_BYTES = 5;

/** A stream over Connect that records when the last update began to arrive. */
export class Arrivals implements AsyncDisposable {
  readonly #ending = new AbortController();
  readonly #reading: Promise<void>;
  #lastBegan = 0;
  #lastChunk = 0;

  constructor(httpUrl: string, sdkKey: string) {
    this.#reading = this.#read(httpUrl, sdkKey).catch(() => {});
  }

  /** Resolves with the arrival time of the first byte of the first message after `since`; both are `performance.now()`. */
  async after(since: number, timeoutMs: number): Promise<number> {
    while (this.#lastBegan <= since) {
      if (performance.now() - since > timeoutMs) throw new Error("an update did not arrive");
      await sleep(1);
    }
    return this.#lastBegan;
  }

  async #read(httpUrl: string, sdkKey: string): Promise<void> {
    const json = new TextEncoder().encode(REQUEST(sdkKey));
    const body = new Uint8Array(FRAME_HEADER_BYTES + json.length);
    new DataView(body.buffer).setUint32(1, json.length);
    body.set(json, FRAME_HEADER_BYTES);
    const headers = { "content-type": "application/connect+json" };
    const response = await fetch(httpUrl + PATH, {
      method: "POST",
      headers,
      body,
      signal: this.#ending.signal,
    });
    for await (const _ of response.body ?? []) {
      const now = performance.now();
      // Updates are a second apart; chunks of one update arrive within milliseconds.
      if (now - this.#lastChunk > 100) this.#lastBegan = now;
      this.#lastChunk = now;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#reading;
  }
}
