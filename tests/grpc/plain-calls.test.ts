import { beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, constants } from "node:http2";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { status as code } from "@grpc/grpc-js";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { GET_CONFIG_SPEC, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, publishKey } from "../support/upstream/published-key.ts";

const KEY = "secret-plain-calls";
const shared = shareRelay({ mode: "grpc" });
beforeAll(() => {
  publishKey(shared.upstream, KEY);
});

const message = encodeRequest({ sdkKey: KEY, version: 2 });
const frame = rpcFrame(message);
/** A part of the config spec. */
const KEY_TEXT = "company_id";

/** Calls the method without a gRPC library. */
async function call(path: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}) {
  using client = new H2cClient(shared.relay.grpcUrl);
  const { status, trailers } = await client.post(
    path,
    { "content-type": "application/grpc", te: "trailers", ...headers },
    body,
  );
  const text = decodeURIComponent(String(trailers["grpc-message"] ?? ""));
  return { status, code: Number(trailers["grpc-status"]), text };
}

describe.each([GET_CONFIG_SPEC, STREAM_CONFIG_SPEC])("a request to %s", (path) => {
  test.each([
    ["without a message", Buffer.alloc(0), code.UNIMPLEMENTED, "the request must have exactly one message"],
    [
      "with two messages",
      Buffer.concat([frame, frame]),
      code.UNIMPLEMENTED,
      "the request must have exactly one message",
    ],
    [
      "cut off in the length of its message",
      frame.subarray(0, 3),
      code.INVALID_ARGUMENT,
      "the message is incomplete",
    ],
    ["cut off in its message", frame.subarray(0, -1), code.INVALID_ARGUMENT, "the message is incomplete"],
    [
      "with a compressed message but no grpc-encoding",
      rpcFrame(message, 1),
      code.INTERNAL,
      "a compressed message without its encoding in a header",
    ],
    [
      "without the length of its message",
      message,
      code.INVALID_ARGUMENT,
      "the request has no envelope: a byte of flags, which is 0, and the length of the message in four bytes",
    ],
    [
      "with a message that is not protobuf",
      rpcFrame("\xff\xff\xff"),
      code.INVALID_ARGUMENT,
      "the message is not a valid ConfigSpecRequest",
    ],
    [
      "that announces 4 GB",
      Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1]),
      code.INVALID_ARGUMENT,
      "the message is incomplete",
    ],
  ] as const)("%s ends with a status that says so", async (_, body, expected, text) => {
    expect(await call(path, body)).toEqual({ status: 200, code: expected, text });
  });

  test("above 64 KiB is RESOURCE_EXHAUSTED", async () => {
    const large = rpcFrame(encodeRequest({ sdkKey: KEY, zstdDictId: "x".repeat(70 * 1024) }));
    expect(await call(path, large)).toMatchObject({ code: code.RESOURCE_EXHAUSTED });
  });

  test.each(["", "5", "S", "-1S", "1x", "123456789S"])(
    "with grpc-timeout %p is INVALID_ARGUMENT",
    async (timeout) => {
      expect(await call(path, frame, { "grpc-timeout": timeout })).toMatchObject({
        code: code.INVALID_ARGUMENT,
      });
    },
  );

  test.each([
    ["gzip", rpcFrame(gzipSync(message), 1)],
    ["br", rpcFrame(brotliCompressSync(message), 1)],
    // The flag says whether a message is compressed, the header only how.
    ["gzip", frame],
  ])("may be compressed: %s", async (coding, body) => {
    using client = new H2cClient(shared.relay.grpcUrl);
    using opened = client.open(path, { "content-type": "application/grpc", "grpc-encoding": coding }, body);
    expect((await opened.frames.next())?.data.toString()).toContain(KEY_TEXT);
  });

  test.each([
    ["gzip", Buffer.from("no gzip"), code.INVALID_ARGUMENT],
    ["br", Buffer.from("no brotli"), code.INVALID_ARGUMENT],
    ["gzip", gzipSync(Buffer.alloc(10_000_000)), code.RESOURCE_EXHAUSTED],
    ["br", brotliCompressSync(Buffer.alloc(10_000_000)), code.RESOURCE_EXHAUSTED],
    ["identity", gzipSync(message), code.INTERNAL],
    ["snappy", gzipSync(message), code.UNIMPLEMENTED],
  ])("compressed as %s, but not well, ends with a status (%#)", async (coding, data, expected) => {
    const headers = { "grpc-encoding": coding };
    expect(await call(path, rpcFrame(data, 1), headers)).toMatchObject({ code: expected });
  });

  test("with the content type of another message format is not accepted", async () => {
    const { status } = await call(path, frame, { "content-type": "application/grpc+json2" });
    expect(status).toBe(415);
  });
});

describe("a stream whose client does not read its message", () => {
  const sdkKey = "secret-plain-unread";

  /** A relay, and a client with a stream that has received its headers and reads no more. */
  async function startUnread(
    headers: Readonly<Record<string, string>> = {},
    options: readonly string[] = [],
  ) {
    await using stack = new AsyncDisposableStack();
    const args = ["--shutdown-grace-in-s", "1", ...options];
    const { upstream } = shared;
    upstream.publish(sdkKey, "v2", padTo(specV2({ lcut: FIRST_LCUT }), 1_000_000), FIRST_LCUT);
    const managed = stack.use(await startManagedRelay({ upstream, mode: "grpc", args }));
    const session = connect(managed.relay.grpcUrl);
    session.on("error", () => {});
    stack.defer(() => session.destroy());
    const stream = session.request({
      ...{ ":method": "POST", ":path": STREAM_CONFIG_SPEC, "content-type": "application/grpc" },
      ...headers,
    });
    stream.on("error", () => {});
    stream.end(rpcFrame(encodeRequest({ sdkKey, version: 2 })));
    await once(stream, "response");
    const openStreams = async () => (await managed.status()).traffic.streams;
    const owned = stack.move();
    return { ...managed, session, stream, openStreams, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  test("is reset when its deadline passes, and does not count any more", async () => {
    await using unread = await startUnread({ "grpc-timeout": "4S" });
    expect(await unread.openStreams()).toBe(1);
    await once(unread.stream, "close");
    expect(unread.stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    await eventually(async () => expect(await unread.openStreams()).toBe(0));
  });

  test("is reset after three times the timeout of PINGs, though its client answers them", async () => {
    await using unread = await startUnread({}, ["--http2-keepalive-timeout-in-s", "1"]);
    await once(unread.stream, "close");
    expect(unread.stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    expect(unread.session.closed).toBe(false);
    await eventually(async () => expect(await unread.openStreams()).toBe(0));
  });

  test("keeps the relay from ending for the grace period at most", async () => {
    await using unread = await startUnread();
    expect(await unread.relay.stop("SIGTERM")).toBe(0);
  });
});
