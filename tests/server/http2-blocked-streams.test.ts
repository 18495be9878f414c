import { expect } from "bun:test";
import { FRAME, frame, uint32 } from "../support/clients/http2-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { StreamConnection } from "../support/clients/stream-connection.ts";
import { testsWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const KEY = "secret-blocked";
const BYTES = 500_000;
const WINDOW = 65_535;
const ENOUGH = 2 * BYTES;
const PATIENCE = { withinMs: 15_000 };

let shared: TlsRelay;
beforeAll(async () => {
  shared = await startTlsRelay();
  shared.upstream.publish(KEY, "v2", padTo(specV2({ sdkKey: KEY, lcut: FIRST_LCUT }), BYTES), FIRST_LCUT);
}, 30_000);
afterAll(() => shared[Symbol.asyncDispose]());

describe.each([
  ["grpc", "application/grpc"],
  ["grpc", "application/grpc-web+proto"],
  ["grpc", "application/connect+json"],
  ["grpcs", "application/grpc"],
  ["https", "application/connect+proto"],
] as const)("on a connection to the %s port, streams as %s", (protocol, type) => {
  const message = type.endsWith("json")
    ? Buffer.from(JSON.stringify({ sdkKey: KEY, version: "v2" }))
    : encodeRequest({ sdkKey: KEY, version: 2 });

  /** Opens a stream, and returns how many bytes it has received. */
  function open(connection: StreamConnection): { readonly id: number; readonly received: () => number } {
    let received = 0;
    const onData = ({ length }: Buffer) => {
      received += length;
    };
    const id = connection.open(message, { onData }, { headers: { "content-type": type } });
    return { id, received: () => received };
  }

  test("do not wait for others whose window is full", async () => {
    using connection = await StreamConnection.open(shared.relay.urlOf(protocol), {
      acknowledges: false,
      connectionWindow: 20 * ENOUGH,
    });
    const [blocked, reading] = [open(connection), open(connection)];
    const all = [blocked, reading, open(connection), open(connection)];
    // The only frame about windows: nothing that arrives later makes the relay continue.
    connection.send(frame(FRAME.windowUpdate, 0, reading.id, uint32(ENOUGH)));
    await eventually(() => expect(reading.received()).toBeGreaterThan(BYTES), PATIENCE);
    for (const each of all.filter((stream) => stream !== reading))
      await eventually(() => expect(each.received()).toBe(WINDOW), PATIENCE);
  });
});
