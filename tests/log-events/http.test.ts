import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { eventually } from "../support/common/wait.ts";
import { type EventBody, type EventRelay, startEventRelay } from "../support/log-events/event-relay.ts";

let shared: EventRelay;
beforeAll(async () => {
  shared = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "20"] });
});
afterAll(() => shared?.[Symbol.asyncDispose]());

const batch = (label: string) => ({ events: [{ eventName: label }], statsigMetadata: { sdkType: "test" } });
const accepted = { success: true, message: null };

const codings = {
  gzip: gzipSync,
  "x-gzip": gzipSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
  deflate: deflateSync,
  Deflate: deflateRawSync,
  identity: (body: string) => Buffer.from(body),
} as const;

describe("POST /v1/log_event", () => {
  test.each(Object.entries(codings))("accepts a body in %s", async (coding, encode) => {
    const sdkKey = `secret-coded-${coding}-${encode.name}`;
    const body = new Uint8Array(encode(JSON.stringify(batch("x"))));
    const answer = await shared.post(sdkKey, body, { "content-encoding": coding });
    expect([answer.status, await answer.json()]).toEqual([202, accepted]);
    expect(answer.headers.get("content-type")).toStartWith("application/json");
    await eventually(() => expect(shared.forwarded(sdkKey)[0]?.events).toEqual(batch("x").events));
  });

  test("forwards any event byte for byte", async () => {
    const events = [
      '{"eventName": "odd", "user": {"userID": 12345678901234567890}, "value": 1.50, "unknown": {"a": [1e400]}}',
      '{"eventName":"statsig::gate_exposure","user":null,"time":"soon","metadata":3,"statsigMetadata":null}',
      '"text"',
      "null",
      "-0",
      '{"é\\u00e9🎈":"\\ud800"}',
    ];
    const body = `{"statsigMetadata" : {"sdkType":"odd", "n": 1.0}, "more": 1, "events":[ ${events.join(" ,\n")} ]}`;
    expect((await shared.post("secret-odd", body)).status).toBe(202);
    await eventually(() => expect(shared.forwarded("secret-odd")).toHaveLength(1));
    const [forwarded] = shared.forwarded("secret-odd");
    expect(forwarded?.text).toBe(
      `{"events":[${events.join(",")}],"statsigMetadata":{"sdkType":"odd", "n": 1.0}}`,
    );
  });

  test("forwards the SDK's headers, the count and the key", async () => {
    const headers = {
      "statsig-sdk-type": "node",
      "statsig-sdk-version": "1.2.3",
      "statsig-server-session-id": "s-1",
      "statsig-retry-count": "2",
      "statsig-client-time": "1",
      cookie: "never",
    };
    await shared.post("secret-headers", { events: [1, 2, 3] }, headers);
    await eventually(() => expect(shared.forwarded("secret-headers")).toHaveLength(1));
    const [forwarded] = shared.forwarded("secret-headers");
    expect(forwarded?.request.headers).toMatchObject({
      "statsig-api-key": "secret-headers",
      "statsig-event-count": "3",
      "statsig-sdk-type": "node",
      "statsig-sdk-version": "1.2.3",
      "statsig-server-session-id": "s-1",
      "content-type": "application/json",
      "content-encoding": "gzip",
    });
    expect(Number(forwarded?.request.headers["statsig-client-time"])).toBeGreaterThan(1_700_000_000_000);
    expect(forwarded?.request.headers.cookie).toBeUndefined();
    expect(forwarded?.metadata).toBeUndefined();
  });

  test("leaves out headers that no SDK sends, and accepts the events", async () => {
    await shared.post("secret-long", { events: [1] }, { "statsig-sdk-type": "x".repeat(201) });
    await eventually(() => expect(shared.forwarded("secret-long")).toHaveLength(1));
    expect(shared.forwarded("secret-long")[0]?.request.headers["statsig-sdk-type"]).toBeUndefined();
  });

  const gzip = { "content-encoding": "gzip" };
  test.each<[string, RegExp, string, EventBody, Readonly<Record<string, string>>]>([
    ["no key", /SDK key is missing/, "", "{}", {}],
    ["a malformed key", /SDK key is malformed/, "sec ret", "{}", {}],
    ["no body", /not a JSON object/, "secret-bad", "", {}],
    ["invalid JSON", /not a JSON object/, "secret-bad", '{"events":[1}', {}],
    ["an array", /not a JSON object/, "secret-bad", "[1]", {}],
    ["no events", /no array named events/, "secret-bad", '{"statsigMetadata":{}}', {}],
    ["events that are not an array", /no array named events/, "secret-bad", '{"events":{}}', {}],
    [
      "an unknown coding",
      /Content-Encoding is unknown/,
      "secret-bad",
      '{"events":[]}',
      { "content-encoding": "lzma" },
    ],
    [
      "a coding that the body is not in",
      /not in the encoding that Content-Encoding names/,
      "secret-bad",
      '{"events":[]}',
      gzip,
    ],
    [
      "a body cut short",
      /not in the encoding that Content-Encoding names/,
      "secret-bad",
      gzipSync('{"events":[]}').subarray(0, -9),
      gzip,
    ],
  ])("responds 400 to %s, and says so", async (_, why, sdkKey, body, headers) => {
    const answer = await shared.post(sdkKey, body, headers);
    const said = { code: 400, reason: "Bad Request", message: expect.stringMatching(why) };
    expect([answer.status, await answer.json()]).toEqual([400, said]);
  });

  test("is also POST /v1/rgstr, as the Elixir and PHP SDKs call it", async () => {
    for (const path of ["/v1/rgstr", "/v1/rgstr/", "//v1//log_event/"]) {
      const sdkKey = `secret-called-${path.replaceAll("/", "_")}`;
      const body = JSON.stringify(batch("x"));
      const headers = { "statsig-api-key": sdkKey };
      const answer = await fetch(`${shared.relay.httpUrl}${path}`, { method: "POST", headers, body });
      expect([answer.status, await answer.json()]).toEqual([202, accepted]);
      await eventually(() => expect(shared.forwarded(sdkKey)[0]?.events).toEqual(batch("x").events));
    }
    const refused = await fetch(`${shared.relay.httpUrl}/v1/rgstr`);
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "POST"]);
  });

  test("responds 202 to a batch without events, and sends nothing", async () => {
    expect((await shared.post("secret-none", { events: [] })).status).toBe(202);
    await Bun.sleep(100);
    expect(shared.forwarded("secret-none")).toEqual([]);
  });

  const mib = 1024 * 1024;
  const padded = (bytes: number) => `{"events":["${"x".repeat(bytes - 15)}"]}`;
  test.each<[string, EventBody, Readonly<Record<string, string>>, number]>([
    ["5 MiB", padded(5 * mib), {}, 202],
    ["one byte more", padded(5 * mib + 1), {}, 413],
    ["5 MiB after decompression", gzipSync(padded(5 * mib)), { "content-encoding": "gzip" }, 202],
    ["one byte more after it", gzipSync(padded(5 * mib + 1)), { "content-encoding": "gzip" }, 413],
    ["1 GiB after zstd", zstdCompressSync(Buffer.alloc(1024 * mib)), { "content-encoding": "zstd" }, 413],
    [
      "200 MiB after br",
      brotliCompressSync(Buffer.alloc(200 * mib), { params: { 1: 1 } }),
      { "content-encoding": "br" },
      413,
    ],
  ])(
    "%s",
    async (_, body, headers, status) => {
      const before = shared.relay.rssBytes();
      expect((await shared.post("secret-large", body, headers)).status).toBe(status);
      expect(shared.relay.rssBytes() - before).toBeLessThan(100 * mib);
    },
    20_000,
  );

  test("applies the limit to chunked bodies", async () => {
    const chunks = (count: number) =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < count; at++) controller.enqueue(new Uint8Array(100_000).fill(32));
          controller.enqueue(Buffer.from('{"events":[]}'));
          controller.close();
        },
      });
    expect((await shared.post("secret-chunked", chunks(10))).status).toBe(202);
    expect((await shared.post("secret-chunked", chunks(60))).status).toBe(413);
  });

  test("--max-request-body-in-mb changes the limit", async () => {
    await using setup = await startEventRelay({ args: ["--max-request-body-in-mb=7"] });
    expect((await setup.post("secret-a", padded(7 * mib))).status).toBe(202);
    expect((await setup.post("secret-a", padded(7 * mib + 1))).status).toBe(413);
  });

  test("responds 405 to other methods", async () => {
    const answer = await fetch(`${shared.relay.httpUrl}/v1/log_event`);
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
  });
});
