import { expect } from "bun:test";
import { BytesResponse, sliceBytes, toContent } from "../../src/http/response-content.ts";
import { curl } from "../support/clients/curl.ts";
import { testsWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl", "curl");

test("the body of a BytesResponse is passed on, and sliced, without a copy", async () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(200_000));
  const content = await toContent(new BytesResponse(bytes, { headers: { "content-type": "text/plain" } }));
  if (content.kind !== "bytes") throw new Error(content.kind);
  expect([content.bytes, content.size]).toEqual([bytes, 200_000]);
  const slices = [...sliceBytes(content.bytes)];
  expect(slices.map(({ byteOffset, length }) => [byteOffset, length])).toEqual([
    [0, 65_536],
    [65_536, 65_536],
    [131_072, 65_536],
    [196_608, 3_392],
  ]);
  for (const slice of slices) expect(slice.buffer).toBe(bytes.buffer);
});

const KEY = "secret-shared-bodies";
const LCUT = 1_700_000_000_000;
const PATH = `/v2/download_config_specs/${KEY}.json`;
const RPC = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";
const text = JSON.stringify(padTo(specV2({ lcut: LCUT, sdkKey: KEY }), 1_500_000));

/** `fromCache` serves without CORS, and the Response with CORS. */
describe.each([
  ["without CORS", []],
  ["with CORS", ["--cors-allowed-origins", "*"]],
] as const)("a body of 1.5 MB, %s", (_, args) => {
  let relay: TlsRelay;
  beforeAll(async () => {
    relay = await startTlsRelay(args);
    relay.upstream.publish(KEY, "v2", text, LCUT);
    expect(await relay.statusOf("http", PATH)).toBe(200);
  }, 30_000);
  afterAll(() => relay[Symbol.asyncDispose]());

  test.each([
    ["HTTP/1.1", "http", "--http1.1"],
    ["HTTP/1.1 over TLS", "https", "--http1.1"],
    ["HTTP/2", "https", "--http2"],
  ] as const)(
    "is whole over %s by GET, POST, HEAD, If-None-Match and RPC",
    async (_name, port, version) => {
      const url = relay.relay.urlOf(port);
      const send = (path: string, ...more: string[]) => curl("-k", version, ...more, `${url}${path}`);
      const whole = await send(PATH);
      expect([whole.exitCode, whole.headers.get("content-length")]).toEqual([0, "1500000"]);
      expect(Buffer.from(whole.body).toString()).toBe(text);
      const posted = await send(PATH, "-H", "content-type: application/json", "-d", "{}");
      expect(Buffer.from(posted.body).toString()).toBe(text);
      expect(posted.headers.get("content-length")).toBe("1500000");
      const head = await send(PATH, "--head");
      expect([head.status, head.headers.get("content-length"), head.body.length]).toEqual([
        200,
        "1500000",
        0,
      ]);
      const same = await send(PATH, "-H", `if-none-match: ${whole.headers.get("etag")}`);
      expect([same.status, same.headers.get("content-length"), same.body.length]).toEqual([304, null, 0]);
      const gzip = await send(PATH, "-H", "accept-encoding: gzip");
      expect(Buffer.from(Bun.gunzipSync(new Uint8Array(gzip.body))).toString()).toBe(text);
      const data = JSON.stringify({ sdkKey: KEY, version: "v2" });
      const rpc = await send(RPC, "-H", "content-type: application/json", "-d", data);
      expect(JSON.parse(Buffer.from(rpc.body).toString())).toEqual({ spec: text, lastUpdated: String(LCUT) });
      expect(rpc.headers.get("content-length")).toBe(String(rpc.body.length));
    },
    30_000,
  );
});
