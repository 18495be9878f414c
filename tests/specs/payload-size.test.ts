import { describe, expect, test } from "bun:test";
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { Redis } from "ioredis";
import { describeWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { forKey } from "../support/upstream/published-key.ts";
import { body, startUpstream } from "../support/upstream/upstream.ts";

const MB = 1024 * 1024;
const KEY = "secret-size";
const FIRST = 1_700_000_000_000;

const specOf = (bytes: number, lcut: number) => JSON.stringify(padTo(specV2({ lcut, sdkKey: KEY }), bytes));

const askTo = (relay: RelayProcess, key = KEY, acceptEncoding = "identity") =>
  fetch(`${relay.httpUrl}/v2/download_config_specs/${key}.json`, {
    headers: { "accept-encoding": acceptEncoding },
    decompress: false,
  });

const lcutServed = async (relay: RelayProcess) => {
  const answer = await askTo(relay);
  await answer.arrayBuffer();
  return Number(answer.headers.get("x-since-time"));
};

const CODERS = {
  gzip: (bytes: Buffer) => gzipSync(bytes),
  br: (bytes: Buffer) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 2 } }),
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
  deflate: (bytes: Buffer) => deflateSync(bytes),
} as const;

/** Mostly white space: cheap to send, but expensive to hold. */
function spaciousSpec(bytes: number): Buffer {
  const text = Buffer.alloc(bytes, " ");
  text.write(`{"has_updates":true,"time":${FIRST + 1},`);
  text.write('"feature_gates":{}}', bytes - 19);
  return text;
}

describe("--max-payload-in-mb", () => {
  const REFUSED = "larger than the 2 MiB that --max-payload-in-mb allows";
  const bomb = spaciousSpec(250 * MB);

  test.each([...Object.entries(CODERS), ["identity", (bytes: Buffer) => bytes.subarray(0, 3 * MB)] as const])(
    "refuses a config that decodes to 250 MB (%s), serves the cached one in constant memory, and accepts the next",
    async (coding, encode) => {
      await using upstream = await startUpstream();
      upstream.publish(KEY, "v2", specOf(2_000, FIRST), FIRST);
      await using relay = await startRelayProcess({
        upstream,
        mode: "http",
        args: ["--max-payload-in-mb", "2"],
      });
      expect(await lcutServed(relay)).toBe(FIRST);
      const before = relay.rssBytes();
      const headers = { "content-encoding": coding, "x-since-time": String(FIRST + 1) };
      const restore = upstream.misbehave(body(encode(bomb), headers), forKey(KEY));
      let most = before;
      await eventually(
        () => {
          most = Math.max(most, relay.rssBytes());
          expect(relay.output()).toContain(REFUSED);
        },
        { withinMs: 30_000, everyMs: 5 },
      );
      expect(await lcutServed(relay)).toBe(FIRST);
      expect(most - before).toBeLessThan(80 * MB);
      restore();
      const text = specOf(2 * MB - 10_000, FIRST + 2);
      upstream.publish(KEY, "v2", text, FIRST + 2);
      await eventually(async () => expect(await lcutServed(relay)).toBe(FIRST + 2), { withinMs: 20_000 });
      expect(await (await askTo(relay)).text()).toBe(text);
    },
    120_000,
  );
});

test("a very large config is served as gzip, and plain to clients that accept no other coding", async () => {
  await using upstream = await startUpstream({ encodings: ["zstd"] });
  const text = specOf(9 * MB, FIRST);
  upstream.publish(KEY, "v2", text, FIRST);
  await using relay = await startRelayProcess({ upstream, mode: "http" });
  for (const [offered, coding] of [
    ["gzip, deflate, br", "gzip"],
    ["br", null],
    ["zstd, gzip", "zstd"],
    ["identity", null],
  ] as const) {
    const answer = await askTo(relay, KEY, offered);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    expect([offered, answer.headers.get("content-encoding")]).toEqual([offered, coding]);
    const plain =
      coding === "gzip" ? Bun.gunzipSync(bytes) : coding === "zstd" ? await Bun.zstdDecompress(bytes) : bytes;
    expect(Buffer.from(plain).equals(Buffer.from(text))).toBe(true);
  }
}, 60_000);

describeWith("redis-server")("a config in Redis that is too large", () => {
  test("is not read, and the next version replaces it", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    upstream.publish(KEY, "v2", specOf(2_000, FIRST), FIRST);
    const start = () =>
      startRelayProcess({
        upstream,
        mode: "http",
        cache: "redis",
        args: ["--max-payload-in-mb", "1", "--redis-key-schema", "v3"],
        env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
      });
    const client = new Redis(redis.port, "127.0.0.1");
    try {
      {
        await using first = await start();
        expect(await lcutServed(first)).toBe(FIRST);
        await eventually(async () => expect(await client.keys("statsig|*v2*")).toHaveLength(1));
      }
      const [name = ""] = await client.keys("statsig|*v2*");
      await client.hset(name, { config: specOf(3 * MB, FIRST + 1), lcut: String(FIRST + 1) });
      upstream.misbehave({
        kind: "edit",
        edit: () => ({ status: 500, headers: {}, body: new Uint8Array() }),
      });
      await using next = await start();
      expect((await askTo(next)).status).toBe(503);
      await eventually(() =>
        expect(next.output()).toContain("larger than the 1 MiB that --max-payload-in-mb allows"),
      );
      upstream.behave();
      upstream.publish(KEY, "v2", specOf(2_000, FIRST + 2), FIRST + 2);
      await eventually(async () => expect(await lcutServed(next)).toBe(FIRST + 2), { withinMs: 20_000 });
      await eventually(async () => expect(await client.hget(name, "lcut")).toBe(String(FIRST + 2)));
    } finally {
      client.disconnect();
    }
  }, 60_000);
});
