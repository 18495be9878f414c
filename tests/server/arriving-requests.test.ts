import { expect, test } from "bun:test";
import type { AddressInfo, Server } from "node:net";
import { SharedBudget } from "../../src/platform/shared-budget.ts";
import { SharedCount } from "../../src/platform/shared-count.ts";
import { createHttp2Server } from "../../src/server/http2-server.ts";
import { listen } from "../../src/server/ports.ts";
import { END_HEADERS, FRAME, frame, requestHeaders } from "../support/clients/http2-frames.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { eventually } from "../support/common/wait.ts";

const MINUTE_MS = 60_000;
const PATIENCE = { withinMs: 15_000 };

/** A server with a limit of four arriving requests, half of it common to two threads. */
async function startServer(common: SharedCount) {
  const limits: string[] = [];
  const { server } = createHttp2Server({
    tls: undefined,
    limits: {
      ...{ maxConnections: 100, maxHeaderBytes: 16_384, maxHeaders: 100, maxStreamsPerConnection: 100 },
      ...{ maxResetsPerMin: 100, headerTimeoutMs: MINUTE_MS, bodyTimeoutMs: MINUTE_MS },
      ...{ keepaliveTimeMs: MINUTE_MS, keepaliveTimeoutMs: MINUTE_MS, unreadTimeoutMs: MINUTE_MS },
    },
    counts: {
      connections: new SharedCount(),
      arrivingRequests: new SharedBudget({ max: 4, threads: 2, common }),
    },
    idleTimeoutMs: MINUTE_MS,
    emit: (event) => {
      if (event.kind === "limit_reached") limits.push(event.limit);
    },
    onRequest: (request) => request.resume(),
  });
  await listen(server as Server, { bindAddress: "127.0.0.1", port: 0, reusePort: false });
  return {
    limits,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.dispose]: () => void server.close(),
  };
}

const streamIds = (count: number) => Array.from({ length: count }, (_, at) => 2 * at + 1);

function post(client: RawHttp2, streamId: number): void {
  client.send(
    frame(FRAME.headers, END_HEADERS, streamId, requestHeaders("POST", "/", {})),
    frame(FRAME.data, 0, streamId, Buffer.from("{")),
  );
}

const resets = (client: RawHttp2) =>
  client.frames.filter(({ type }) => type === FRAME.rstStream).map(({ streamId }) => streamId);

test("above the limit the oldest is reset, over all connections of the thread", async () => {
  const common = new SharedCount();
  using server = await startServer(common);
  using first = await RawHttp2.open(server.url);
  using second = await RawHttp2.open(server.url);
  for (const streamId of streamIds(2)) post(first, streamId);
  await eventually(() => expect(common.value).toBe(1), PATIENCE);
  // The thread's own part and the common half are three.
  for (const streamId of streamIds(3)) post(second, streamId);
  await eventually(() => expect([resets(first), resets(second)]).toEqual([[1, 3], []]), PATIENCE);
  expect(server.limits).toEqual(["arriving-requests", "arriving-requests"]);
  expect(common.value).toBe(2);
});

test("a thread that has its own part only keeps the newest, and returns what it took when the connection closes", async () => {
  const common = new SharedCount();
  // Another thread has all that is common.
  common.tryAdd(2, 2);
  using server = await startServer(common);
  {
    using client = await RawHttp2.open(server.url);
    for (const streamId of streamIds(3)) post(client, streamId);
    await eventually(() => expect(resets(client)).toEqual([1, 3]), PATIENCE);
    common.subtract(2);
    for (const streamId of [7, 9]) post(client, streamId);
    await eventually(() => expect(common.value).toBe(2), PATIENCE);
    expect(resets(client)).toEqual([1, 3]);
  }
  await eventually(() => expect(common.value).toBe(0), PATIENCE);
});
