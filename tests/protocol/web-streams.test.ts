import { expect } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { CANCEL, requestHeaders } from "../support/clients/http2-frames.ts";
import { STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { allFrames, FrameQueue, rpcFrame } from "../support/clients/rpc-frames.ts";
import { decodeFields, encodeRequest } from "../support/clients/spec-messages.ts";
import { StreamConnection } from "../support/clients/stream-connection.ts";
import { testsWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, forKey, publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const NO_UPDATE = '{"has_updates":false}';
const END_OF_STREAM = 2;
const TRAILERS = 0x80;

let shared: TlsRelay;
beforeAll(async () => {
  shared = await startTlsRelay();
}, 30_000);
afterAll(() => shared[Symbol.asyncDispose]());

interface Asked {
  readonly sdkKey: string;
  readonly sinceTime?: number;
}

const encodings = {
  json: {
    encode: ({ sdkKey, sinceTime }: Asked) =>
      JSON.stringify({ sdkKey, version: "v2", sinceTime, unknown: 1 }),
    decode: (data: Buffer) => JSON.parse(String(data)) as unknown,
    message: (spec: string, lcut: number) => ({ spec, lastUpdated: String(lcut) }),
  },
  proto: {
    encode: ({ sdkKey, sinceTime }: Asked) =>
      encodeRequest({ sdkKey, version: 2, ...(sinceTime && { sinceTime }) }),
    decode: (data: Buffer) => decodeFields(data) as unknown,
    message: (spec: string, lcut: number) => ({ 1: spec, 2: lcut }),
  },
} as const;

const TYPES = [
  ["application/connect+json", "json"],
  ["application/connect+proto", "proto"],
  ["application/grpc-web", "proto"],
  ["application/grpc-web+proto", "proto"],
  ["application/grpc-web+json", "json"],
] as const;

const isConnect = (type: string) => type.startsWith("application/connect");

/** Opens a stream on the HTTP or HTTPS port. */
async function open(
  type: string,
  request: string | Uint8Array,
  { protocol = "http", headers = {} }: { protocol?: "http" | "https"; headers?: Record<string, string> } = {},
) {
  const leave = new AbortController();
  const response = await fetch(`${shared.relay.urlOf(protocol)}${STREAM_CONFIG_SPEC}`, {
    method: "POST",
    headers: { "content-type": type, ...headers },
    body: new Uint8Array(rpcFrame(request)),
    signal: leave.signal,
    tls: { rejectUnauthorized: false },
  });
  const frames = new FrameQueue();
  const read = async () => {
    for await (const chunk of response.body ?? []) frames.push(chunk);
    frames.end();
  };
  read().catch(() => frames.end());
  return { response, frames, [Symbol.dispose]: () => leave.abort() };
}

/** Returns the code and message of the frame that ends a stream. */
async function readEnd(type: string, frames: FrameQueue): Promise<string> {
  const [end, ...more] = await allFrames(frames);
  expect([end?.flags, more]).toEqual([isConnect(type) ? END_OF_STREAM : TRAILERS, []]);
  return String(end?.data);
}

describe.each(TYPES)("gRPC: streams as %s on the HTTP ports", (type, encoding) => {
  const { encode, decode, message } = encodings[encoding];

  test.concurrent.each(["http", "https"] as const)(
    "the spec at once, then each new one, on the %s port",
    async (protocol) => {
      const sdkKey = `secret-web-${protocol}-${type.replace(/\W/g, "-")}`;
      const first = publishKey(shared.upstream, sdkKey);
      using stream = await open(type, encode({ sdkKey }), { protocol });
      expect([stream.response.status, stream.response.headers.get("content-type")]).toEqual([200, type]);
      expect(stream.response.headers.get("x-sfp-hostname")).toBe("no_hostname_set");
      expect(stream.response.headers.get("x-sfp-source")).toBe("upstream");
      expect(decode((await stream.frames.next())?.data ?? Buffer.alloc(0))).toEqual(
        message(first.v2, first.lcut),
      );
      using upToDate = await open(type, encode({ sdkKey, sinceTime: first.lcut }), { protocol });
      expect(decode((await upToDate.frames.next())?.data ?? Buffer.alloc(0))).toEqual(
        message(NO_UPDATE, first.lcut),
      );
      const second = publishKey(shared.upstream, sdkKey, 1);
      for (const { frames } of [stream, upToDate]) {
        const frame = await frames.next();
        expect([frame?.flags, decode(frame?.data ?? Buffer.alloc(0))]).toEqual([
          0,
          message(second.v2, second.lcut),
        ]);
      }
    },
  );

  test("an unknown key, and a malformed one, are errors in the body", async () => {
    for (const [sdkKey, name, number] of [
      ["secret-unknown", "permission_denied", 7],
      ["no key", "invalid_argument", 3],
    ] as const) {
      using stream = await open(type, encode({ sdkKey }));
      expect(stream.response.status).toBe(200);
      const end = await readEnd(type, stream.frames);
      expect(end).toContain(isConnect(type) ? `"code":"${name}"` : `grpc-status: ${number}\r\n`);
    }
  });

  test("a message that cannot be read is an error in the body", async () => {
    using stream = await open(type, Buffer.from([0xff, 0xff]));
    expect(await readEnd(type, stream.frames)).toContain(
      isConnect(type) ? "invalid_argument" : "grpc-status: 3",
    );
  });

  test("a deadline ends the stream, also while upstream is asked", async () => {
    const { sdkKey } = publishKey(shared.upstream, "secret-web-deadline");
    const headers = isConnect(type) ? { "connect-timeout-ms": "300" } : { "grpc-timeout": "300m" };
    // A spec from memory is sent at once, whereas the request to upstream may take longer than the stream.
    using first = await open(type, encode({ sdkKey }));
    await first.frames.next();
    using stream = await open(type, encode({ sdkKey }), { headers });
    expect((await stream.frames.next())?.flags).toBe(0);
    expect(await readEnd(type, stream.frames)).toContain(
      isConnect(type) ? "deadline_exceeded" : "grpc-status: 4",
    );
    const hanging = `secret-web-hangs-${type.replace(/\W/g, "-")}`;
    const restore = shared.upstream.misbehave({ kind: "hang" }, forKey(hanging));
    using late = await open(type, encode({ sdkKey: hanging }), { headers });
    expect(await readEnd(type, late.frames)).toContain(
      isConnect(type) ? "deadline_exceeded" : "grpc-status: 4",
    );
    restore();
  }, 30_000);
});

test("a compressed request is served as well", async () => {
  const { sdkKey, v2, lcut } = publishKey(shared.upstream, "secret-web-compressed");
  const request = rpcFrame(gzipSync(JSON.stringify({ sdkKey, version: "v2" })), 1);
  const response = await fetch(`${shared.relay.httpUrl}${STREAM_CONFIG_SPEC}`, {
    method: "POST",
    headers: { "content-type": "application/connect+json", "connect-content-encoding": "gzip" },
    body: new Uint8Array(request),
  });
  const frames = new FrameQueue();
  for await (const chunk of response.body ?? []) {
    frames.push(chunk);
    const frame = await frames.next();
    expect(JSON.parse(String(frame?.data))).toEqual({ spec: v2, lastUpdated: String(lcut) });
    break;
  }
});

test("a client that cancels a compressed request, with any code, is no unexpected error", async () => {
  const { sdkKey } = publishKey(shared.upstream, "secret-web-cancelled");
  const block = requestHeaders("POST", STREAM_CONFIG_SPEC, {
    "content-type": "application/grpc",
    "grpc-encoding": "gzip",
  });
  const body = rpcFrame(gzipSync(encodeRequest({ sdkKey, version: 2 })), 1);
  using connection = await StreamConnection.open(shared.relay.urlOf("grpc"));
  const open = async () => {
    const begun = Promise.withResolvers<void>();
    const id = connection.openWith(block, [body], { onData: () => begun.resolve() });
    await begun.promise;
    return id;
  };
  for (const code of [0, 1, CANCEL]) connection.reset(await open(), code);
  // The relay has handled the resets by the time that it serves the next request.
  await open();
  await connection.ping();
  expect(shared.relay.output()).not.toContain("unexpected error");
});

describe("clients that do not read", () => {
  const CLIENTS = 60;
  const BYTES = 1_000_000;
  const VERSIONS = 3;

  test.each(["application/connect+json", "application/grpc-web+proto", "text/event-stream"])(
    "share what they are owed: %s",
    async (type) => {
      const sdkKey = `secret-web-stalled-${type.replace(/\W/g, "-")}`;
      publish(sdkKey, 0);
      const sockets: Socket[] = [];
      using closing = new DisposableStack();
      closing.defer(() => {
        for (const socket of sockets) socket.destroy();
      });
      const head = requestOf(type, sdkKey);
      // A client that never reads: the system takes a part of the first version, and the relay holds the rest.
      for (let number = 0; number < CLIENTS; number++) sockets.push(await openPaused(head));
      await expectShared(sdkKey);
    },
    30_000,
  );

  test.each(["application/connect+json", "application/grpc-web+proto"])(
    "share it on the gRPC port too: %s",
    async (type) => {
      const sdkKey = `secret-web-blocked-${type.replace(/\W/g, "-")}`;
      publish(sdkKey, 0);
      const { encode } = encodings[type.endsWith("json") ? "json" : "proto"];
      const message = Buffer.from(encode({ sdkKey }));
      using connections = new DisposableStack();
      for (let number = 0; number < CLIENTS; number++) {
        const url = shared.relay.urlOf("grpc");
        const connection = connections.use(await StreamConnection.open(url, { acknowledges: false }));
        const begun = Promise.withResolvers<void>();
        connection.open(message, { onData: () => begun.resolve() }, { headers: { "content-type": type } });
        await begun.promise;
      }
      await expectShared(sdkKey);
    },
    30_000,
  );

  function publish(sdkKey: string, number: number): void {
    const lcut = FIRST_LCUT + number;
    shared.upstream.publish(sdkKey, "v2", padTo(specV2({ lcut, sdkKey }), BYTES), lcut);
  }

  /**
   * Publishes versions that the stalled clients are owed. A copy for each client would be 60 MB for each version: in the peak of
   * each, whereas garbage may be in one. The heaps of Deno grow by more than those of Bun while a version is prepared.
   */
  async function expectShared(sdkKey: string): Promise<void> {
    using watching = await open("application/connect+proto", encodeRequest({ sdkKey, version: 2 }));
    await watching.frames.next();
    const before = shared.relay.rssBytes();
    const peaks: number[] = [];
    for (let number = 1; number <= VERSIONS; number++) {
      shared.relay.resetPeakRss();
      publish(sdkKey, number);
      await watching.frames.next();
      peaks.push(shared.relay.peakRssBytes());
    }
    expect(Math.min(...peaks) - before).toBeLessThan(((isOnDeno ? VERSIONS : 1) * CLIENTS * BYTES) / 2);
  }

  function requestOf(type: string, sdkKey: string): Buffer {
    if (type === "text/event-stream")
      return Buffer.from(`GET /v2/stream_config_specs/${sdkKey} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const message = type.endsWith("json")
      ? rpcFrame(encodings.json.encode({ sdkKey }))
      : rpcFrame(encodings.proto.encode({ sdkKey }));
    const lines = `Content-Type: ${type}\r\nContent-Length: ${message.length}`;
    return Buffer.concat([
      Buffer.from(`POST ${STREAM_CONFIG_SPEC} HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n`),
      message,
    ]);
  }

  async function openPaused(head: Buffer): Promise<Socket> {
    const socket = connect({ host: "127.0.0.1", port: shared.relay.httpPort });
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.pause();
    socket.write(head);
    return socket;
  }
});
