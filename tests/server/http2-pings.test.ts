import { expect } from "bun:test";
import { Client, credentials } from "@grpc/grpc-js";
import { FRAME, frame } from "../support/clients/http2-frames.ts";
import { STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

/** More than a client sends in five minutes, one per 10 s. */
const PINGS = 40;
const PATIENCE = { withinMs: 15_000, everyMs: 5 };
const PING = frame(FRAME.ping, 0, 0, Buffer.from("keepaliv"));

describe.each(["https", "grpc", "grpcs"] as const)("PINGs of clients on the %s port", (protocol) => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay();
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const acks = (client: RawHttp2) =>
    client.frames.filter(({ type, flags }) => type === FRAME.ping && flags === 1).length;

  test.concurrent.each([
    ["with an open stream, on which nothing is sent", true],
    ["without any stream", false],
  ] as const)(
    "are answered %s, at a much higher rate than SDKs have",
    async (_, hasStream) => {
      using client = await RawHttp2.open(started.relay.urlOf(protocol));
      if (hasStream) {
        client.openSpecStream(1, started.held.sdkKey);
        await client.received("specs", ({ type, streamId }) => type === FRAME.data && streamId === 1);
      }
      for (let sent = 1; sent <= PINGS; sent++) {
        client.send(PING);
        await eventually(() => expect(acks(client)).toBe(sent), PATIENCE);
        await Bun.sleep(20);
      }
      // At once, as after a pause of the network.
      client.send(...Array.from({ length: PINGS }, () => PING));
      await eventually(() => expect(acks(client)).toBe(2 * PINGS), PATIENCE);
      expect(client.frames.filter(({ type }) => type === FRAME.goaway)).toEqual([]);
      expect(client.connection.isClosed).toBe(false);
    },
    30_000,
  );
});

test("grpc-js with a keep-alive of a second, also without calls, keeps its stream", async () => {
  await using started = await startTlsRelay();
  using resources = new DisposableStack();
  const client = new Client(new URL(started.relay.urlOf("grpc")).host, credentials.createInsecure(), {
    "grpc.keepalive_time_ms": 1_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.keepalive_permit_without_calls": 1,
  });
  resources.defer(() => client.close());
  const asIs = (bytes: Buffer) => bytes;
  const request = encodeRequest({ sdkKey: started.held.sdkKey, version: 2 });
  const call = client.makeServerStreamRequest(STREAM_CONFIG_SPEC, asIs, asIs, request);
  let ended = false;
  let messages = 0;
  call.on("error", () => {}).on("data", () => messages++);
  call.once("status", () => {
    ended = true;
  });
  await eventually(() => expect(messages).toBe(1), PATIENCE);
  // A server that counts PINGs ends the connection at the third one.
  await Bun.sleep(5_000);
  expect(ended).toBe(false);
  call.cancel();
}, 30_000);
