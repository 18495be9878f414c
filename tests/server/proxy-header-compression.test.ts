import { expect } from "bun:test";
import { tableUseOf } from "../support/clients/hpack-references.ts";
import { END_HEADERS, END_STREAM, FRAME, frame, requestHeaders } from "../support/clients/http2-frames.ts";
import { GET_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { describeWith, testsWith } from "../support/common/needs.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const NO_TABLE = Buffer.from([0, 1, 0, 0, 0, 0]);
/** HPACK: dynamic table size updates, to 0 and back to 4096. */
const SIZE_UPDATES = Buffer.from([0x20, 0x3f, 0xe1, 0x1f]);
const CALLS = 6;

let started: TlsRelay;
beforeAll(async () => {
  started = await startTlsRelay();
});
afterAll(() => started[Symbol.asyncDispose]());

type Ask = (client: RawHttp2, streamId: number) => void;

const get =
  (path: () => string, method = "GET", more = {}): Ask =>
  (client, streamId) =>
    client.send(
      frame(FRAME.headers, END_HEADERS | END_STREAM, streamId, requestHeaders(method, path(), more)),
    );

const post =
  (path: string, contentType: string, body: () => Buffer): Ask =>
  (client, streamId) =>
    client.send(
      frame(
        FRAME.headers,
        END_HEADERS,
        streamId,
        Buffer.concat([SIZE_UPDATES, requestHeaders("POST", path, { "content-type": contentType })]),
      ),
      frame(FRAME.data, END_STREAM, streamId, body()),
    );

const call = (sdkKey: () => string) =>
  post(GET_CONFIG_SPEC, "application/grpc", () => rpcFrame(encodeRequest({ sdkKey: sdkKey(), version: 2 })));
const held = () => started.held.sdkKey;

const ON_EVERY_PORT: readonly (readonly [what: string, ask: Ask])[] = [
  [
    "Connect",
    post(GET_CONFIG_SPEC, "application/json", () => Buffer.from(JSON.stringify({ sdkKey: held() }))),
  ],
  ["a Connect error", post(GET_CONFIG_SPEC, "application/json", () => Buffer.from("{"))],
  ["a wrong content type", post(GET_CONFIG_SPEC, "text/plain", () => Buffer.from("x"))],
  ["no such path", post("/nowhere", "application/json", () => Buffer.from("{}"))],
];
const ON_GRPC: typeof ON_EVERY_PORT = [
  ["gRPC", call(held)],
  ["a gRPC error", call(() => "secret-of-nobody")],
];
const ON_HTTPS: typeof ON_EVERY_PORT = [
  ["a spec", get(() => started.heldPath)],
  ["HEAD", get(() => started.heldPath, "HEAD")],
  ["401", get(() => "/v2/download_config_specs/secret-of-nobody.json")],
  ["400 or 404", get(() => "/v2/download_config_specs/x")],
];

describe.each(["https", "grpc", "grpcs"] as const)(
  "to a peer that stores no headers, on the %s port",
  (protocol) => {
    const cases = [...ON_EVERY_PORT, ...(protocol === "https" ? ON_HTTPS : ON_GRPC)];
    test.each(cases)("%s: no response stores a header or refers to a stored one", async (_, ask) => {
      using client = await RawHttp2.open(started.relay.urlOf(protocol));
      client.send(frame(FRAME.settings, 0, 0, NO_TABLE));
      for (let number = 0; number < CALLS; number++) {
        const streamId = 2 * number + 1;
        ask(client, streamId);
        const isEnd = (one: { readonly streamId: number; readonly flags: number }) =>
          one.streamId === streamId && (one.flags & END_STREAM) > 0;
        await client.received("the end of an answer", isEnd);
      }
      const blocks = client.frames.filter(({ type }) => type === FRAME.headers);
      expect(blocks.length).toBeGreaterThanOrEqual(CALLS);
      const uses = blocks.map(({ payload }) => tableUseOf(payload));
      expect(uses.filter(({ stored, references }) => stored + references > 0)).toEqual([]);
      expect(uses.every(({ fields }) => fields > 0)).toBe(true);
    });
  },
);

describeWith("nghttp")("nghttp", () => {
  const nghttp = async (...args: string[]) => {
    // This client requests the same URL only once.
    const urls = [1, 2, 3].map((number) => `${started.relay.urlOf("https")}${started.heldPath}?n=${number}`);
    const child = Bun.spawn(["nghttp", "-nv", "--no-dep", ...args, ...urls], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 10_000,
    });
    const output = await child.stdout.text();
    return output.match(/:status: 200/g)?.length ?? 0;
  };

  test.each([
    ["as it comes", []],
    ["with a larger table of its own", ["--header-table-size=65536"]],
    ["that shrinks its encoder's table", ["--encoder-header-table-size=0"]],
    ["that shrinks and grows its encoder's table", ["--encoder-header-table-size=100"]],
  ])("%s gets a response", async (_, args) => {
    expect(await nghttp(...args)).toBe(3);
  });

  // This client insists on a table size update at the start of the first header block, which Bun's encoder never sends. When
  // this test begins to pass on Bun, it sends it, and docs/operations.md and docs/troubleshooting.md must be updated.
  const testFailing = isOnDeno ? test : test.failing;
  testFailing("that allows no table at all gets a response, once Bun supports it", async () => {
    expect(await nghttp("--header-table-size=0")).toBe(3);
  });
});
