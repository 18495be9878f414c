import { expect } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  literalHeader,
  requestHeaders,
} from "../support/clients/http2-frames.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const CLOSED_WITHIN_MS = 15_000;

describe.each(["https", "grpc", "grpcs"] as const)(
  "useless HTTP/2 connections on the %s port",
  (protocol) => {
    let started: TlsRelay;
    beforeAll(async () => {
      started = await startTlsRelay(["--header-timeout-in-s", "2", "--idle-timeout-in-s", "2"]);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const url = () => started.relay.urlOf(protocol);

    test.concurrent("one that sends nothing is closed", async () => {
      using connection = await RawConnection.open(url(), "h2");
      connection.write("PRI * HTTP/2.0\r\n");
      await connection.closed(CLOSED_WITHIN_MS);
    });

    test.concurrent("one whose headers never end is closed, although they continue", async () => {
      using client = await RawHttp2.open(url());
      client.send(frame(FRAME.headers, 0, 1, requestHeaders("GET", "/v1/health")));
      await eventually(
        () => {
          client.send(frame(FRAME.continuation, 0, 1, literalHeader("x", "y")));
          expect(client.connection.isClosed).toBe(true);
        },
        { withinMs: CLOSED_WITHIN_MS, everyMs: 200 },
      );
    });

    // gRPC connections may be idle for longer than --idle-timeout-in-s.
    if (protocol === "https") {
      test.concurrent("one without any request is closed", async () => {
        using client = await RawHttp2.open(url());
        await client.connection.closed(CLOSED_WITHIN_MS);
      });

      test.concurrent("one whose last request is over is closed", async () => {
        using client = await RawHttp2.open(url());
        client.send(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, requestHeaders("GET", "/nowhere")));
        await client.received(
          "an response",
          ({ streamId, flags }) => streamId === 1 && (flags & END_STREAM) > 0,
        );
        await client.connection.closed(CLOSED_WITHIN_MS);
      });
    }

    test.concurrent("one with an open stream is not closed", async () => {
      using client = await RawHttp2.open(url());
      client.openSpecStream(1, started.held.sdkKey);
      await client.received("specs", ({ type, streamId }) => type === FRAME.data && streamId === 1);
      await sleep(3_500);
      expect(client.connection.isClosed).toBe(false);
    });
  },
);
