import { expect } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../../src/config/groups/limits.ts";
import { END_HEADERS, END_STREAM, FRAME, frame, requestHeaders } from "../support/clients/http2-frames.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { testsWith } from "../support/common/needs.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

/** The default keep-alive time of nginx and of AWS ALB for idle connections. */
const BALANCERS_KEEP_S = 60;
/** That of Google Cloud's load balancers, which cannot be changed. */
const GOOGLE_KEEPS_S = 600;
const IDLE_S = 8;
/** Twice this is less than the idle timeout, and three times is more. */
const REST_MS = 3_000;
const SLACK_MS = 100;

test("by default, idle connections are kept for longer than load balancers keep them", () => {
  const { default: byDefault, max } = LIMITS.idleTimeoutInS;
  expect(Number(byDefault)).toBeGreaterThan(BALANCERS_KEEP_S);
  expect(max).toBeGreaterThan(GOOGLE_KEEPS_S);
});

test("a relay starts with the idle timeout that Google's load balancers need", async () => {
  await using started = await startTlsRelay(["--idle-timeout-in-s", String(GOOGLE_KEEPS_S + 20)]);
  using connection = await RawConnection.open(started.relay.urlOf("https"));
  connection.write("GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const headers = await connection.until("an answer", (bytes) => /^.*?\r\n\r\n/s.exec(String(bytes))?.[0]);
  expect(headers.toLowerCase()).toContain(`keep-alive: timeout=${GOOGLE_KEEPS_S + 20}`);
});

/** One connection, on which requests are sent one after the other. */
interface Requester {
  readonly connection: RawConnection;
  /** Resolves when the response is complete. */
  ask(): Promise<void>;
}

async function openHttp1(url: string): Promise<Requester> {
  const connection = await RawConnection.open(url);
  let asked = 0;
  const ask = async () => {
    connection.write("GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    asked++;
    await connection.until("an answer", () => connection.statuses[asked - 1]);
  };
  return { connection, ask };
}

async function openHttp2(url: string): Promise<Requester> {
  const client = await RawHttp2.open(url);
  let streamId = -1;
  const ask = async () => {
    streamId += 2;
    client.send(
      frame(FRAME.headers, END_HEADERS | END_STREAM, streamId, requestHeaders("GET", "/v1/health")),
    );
    await client.received("an answer", (one) => one.streamId === streamId && (one.flags & END_STREAM) > 0);
  };
  return { connection: client.connection, ask };
}

describe("the relay does not close a connection early", () => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay(["--idle-timeout-in-s", String(IDLE_S)]);
  });
  afterAll(() => started[Symbol.asyncDispose]());

  test.concurrent.each([
    ["HTTP", "http", openHttp1],
    ["HTTPS, HTTP/1.1", "https", openHttp1],
    ["HTTPS, HTTP/2", "https", openHttp2],
    ["gRPC", "grpc", openHttp2],
    ["gRPC over TLS", "grpcs", openHttp2],
  ] as const)("%s", async (_, protocol, open) => {
    const { connection, ask } = await open(started.relay.urlOf(protocol));
    using _connection = connection;
    for (let rest = 0; rest < 2; rest++) {
      await ask();
      await sleep(REST_MS);
    }
    const askedAt = performance.now();
    await ask();
    await connection.closed(25_000);
    expect(performance.now() - askedAt).toBeGreaterThan(IDLE_S * 1_000 - SLACK_MS);
  });
});
