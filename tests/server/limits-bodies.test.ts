import { expect } from "bun:test";
import { END_HEADERS, FRAME, frame, requestHeaders } from "../support/clients/http2-frames.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { specPath, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const EVENTS = { "statsig-api-key": "secret-held", "content-type": "application/json" };
const MB = 1024 * 1024;
const PATIENCE = { withinMs: 15_000 };

/** Clients that begin bodies and never end them must not affect others. */
describe("bodies that never end", () => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay(["--max-concurrent-requests", "20", "--body-timeout-in-s", "60"]);
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const openPosts = (client: RawHttp2, count: number, body = "{") => {
    for (let number = 0; number < count; number++) {
      const streamId = 2 * number + 1;
      client.send(
        frame(FRAME.headers, END_HEADERS, streamId, requestHeaders("POST", "/v1/log_event", EVENTS)),
        frame(FRAME.data, 0, streamId, Buffer.from(body)),
      );
    }
  };

  /** Requests that take more than memory: an unknown key, and log events. */
  const expectOthersServed = async (name: string) => {
    const { sdkKey } = publishKey(started.upstream, name);
    for (const protocol of ["http", "https"] as const) {
      expect(await started.statusOf(protocol, specPath(sdkKey))).toBe(200);
      const response = await fetch(`${started.relay.urlOf(protocol)}/v1/log_event`, {
        method: "POST",
        headers: EVENTS,
        body: JSON.stringify({ events: [{ eventName: "a", user: {}, time: 1 }], statsigMetadata: {} }),
        tls: { rejectUnauthorized: false },
      });
      expect(response.status).toBe(202);
    }
  };

  test("550 on one HTTP/2 connection: others are served, and 256 are left on that connection", async () => {
    using client = await RawHttp2.open(started.relay.urlOf("https"));
    openPosts(client, 550);
    await eventually(() => {
      const ended = new Set(
        client.frames.filter(({ type }) => type === FRAME.rstStream).map((f) => f.streamId),
      );
      // The oldest bodies were evicted.
      expect(ended).toEqual(new Set(Array.from({ length: 550 - 256 }, (_, at) => 2 * at + 1)));
    }, PATIENCE);
    await expectOthersServed("secret-beside-h2");
    await eventually(() => expect(started.reached("arriving-requests")).toBe(1), PATIENCE);
    expect(started.reached("max-concurrent-requests")).toBe(0);
  });

  test("hundreds of HTTP/1.1 connections with half a body each: others are served", async () => {
    using stack = new DisposableStack();
    for (let number = 0; number < 300; number++) {
      const connection = stack.use(await RawConnection.open(started.relay.urlOf("http")));
      connection.write(
        "POST /v1/log_event HTTP/1.1\r\nHost: localhost\r\nstatsig-api-key: secret-held\r\nContent-Length: 100\r\n\r\n{",
      );
    }
    await expectOthersServed("secret-beside-h1");
    expect(started.reached("max-concurrent-requests")).toBe(0);
  });

  test("more bytes than allowed: the oldest bodies are evicted, and others are served", async () => {
    using stack = new DisposableStack();
    const connections: RawConnection[] = [];
    const before = started.relay.rssBytes();
    // 200 MB, with 128 MB allowed.
    for (let number = 0; number < 50; number++) {
      const connection = stack.use(await RawConnection.open(started.relay.urlOf("http")));
      connections.push(connection);
      connection.write(
        `POST /v1/log_event HTTP/1.1\r\nHost: localhost\r\nstatsig-api-key: secret-held\r\nContent-Length: ${5 * MB}\r\n\r\n`,
      );
      connection.write(Buffer.alloc(4 * MB, 0x20));
    }
    await eventually(
      () => expect(connections.filter(({ statuses }) => statuses[0] === 503).length).toBeWithin(18, 21),
      PATIENCE,
    );
    expect(started.relay.rssBytes() - before).toBeLessThan(500 * MB);
    await expectOthersServed("secret-beside-bytes");
    await eventually(() => expect(started.reached("arriving-bodies")).toBe(1), PATIENCE);
  });
});
