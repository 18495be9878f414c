import { expect, test } from "bun:test";
import { allocateCounts, ServingCounts, type ThreadsOfPorts } from "../../src/serving/counts.ts";
import { END_HEADERS, FRAME, frame, requestHeaders } from "../support/clients/http2-frames.ts";
import { STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** The limits of a port and of a connection (docs/limits.md). */
const PER_PORT = 4_096;
const PER_CONNECTION = 256;

/** A call that never ends its request. */
const incompleteCall = (streamId: number) =>
  frame(
    FRAME.headers,
    END_HEADERS,
    streamId,
    requestHeaders("POST", STREAM_CONFIG_SPEC, { "content-type": "application/grpc" }),
  );

const calls = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => incompleteCall(2 * (first + at) + 1));

test("a thread that alone serves a port has all of the port's budget, though other threads serve other ports", async () => {
  await using upstream = await startUpstream();
  await using managed = await startManagedRelay({ upstream, args: ["--serving-threads", "1"] });
  const { relay } = managed;
  using clients = new DisposableStack();
  const reached = async () =>
    sumOf(await readMetrics(relay), "LimitReached_count_total", { limit: "arriving-requests" });
  for (let number = 0; number < PER_PORT / PER_CONNECTION; number++) {
    const client = clients.use(await RawHttp2.open(relay.grpcUrl));
    // A PING is answered after the requests before it have arrived.
    client.send(...calls(0, PER_CONNECTION), frame(FRAME.ping, 0, 0, Buffer.alloc(8)));
    await client.received("a PING", ({ type }) => type === FRAME.ping, 15_000);
  }
  using one = await RawHttp2.open(relay.grpcUrl);
  expect(await reached()).toBe(0);
  one.send(...calls(0, 2));
  await eventually(async () => expect(await reached()).toBe(2), { withinMs: 15_000 });
}, 60_000);

const THREADS: ThreadsOfPorts = { http: 2, https: 3, grpc: 3, grpcs: 0 };

/** Returns what the first of the threads can take alone: half of the limit, and its part of the other half. */
function most(threads: ThreadsOfPorts, name: Parameters<ServingCounts["budget"]>[0], max: number): number {
  const budget = new ServingCounts(allocateCounts(8), 1, threads).budget(name, max);
  let taken = 0;
  while (budget.tryTake(1)) taken++;
  return taken;
}

test("a budget is divided among the threads that serve its ports", () => {
  expect(most(THREADS, "body_bytes", 100)).toBe(60);
  expect(most({ ...THREADS, https: 0 }, "arriving_bodies", 100)).toBe(75);
  expect(most(THREADS, "grpc_arriving_requests", 120)).toBe(80);
  expect(most({ ...THREADS, https: 1 }, "https_arriving_requests", 120)).toBe(120);
});
