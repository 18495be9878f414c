import { describe, expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { startRelay } from "../../src/relay/relay.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import type { SpecStream } from "../support/clients/grpc-stream.ts";
import { FakeClock, settle } from "../support/common/fake-clock.ts";
import { inProcessThreads } from "../support/relay/in-process-thread.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const NO_UPDATE = '{"has_updates":false}';
const HEARTBEAT_MS = 30_000;
/** So long that a test sees only the polls it triggers. */
const NEVER_POLLED_S = 86_400;

/** The whole relay in this process, with a clock that the test moves. */
async function startTimed(pollIntervalS = NEVER_POLLED_S) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const clock = new FakeClock();
  const values = new Map([
    ["bind-address", "127.0.0.1"],
    ["grpc-port", "0"],
    ["serving-threads", "1"],
    ["management-port", "0"],
    ["polling-interval-in-s", String(pollIntervalS)],
    ["shutdown-grace-in-s", "0"],
  ]);
  const given = { mode: "grpc", cache: "disabled", values };
  const config = readConfig(given, { STATSIG_ENDPOINT: upstream.url });
  const ports = { logger: { log: () => {} }, clock, startThread: inProcessThreads(clock) };
  const relay = stack.use(await startRelay(config, ports));
  const client = stack.use(new GrpcClient(`http://127.0.0.1:${relay.listeners[0]?.port}`));
  const owned = stack.move();
  return { upstream, clock, client, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

type Timed = Awaited<ReturnType<typeof startTimed>>;

/** Nothing was sent: a call on the same connection returns first. */
async function expectSilence({ client }: Timed, stream: SpecStream): Promise<void> {
  await client.checkHealth();
  expect(stream.waiting).toBe(0);
}

/** Lets the relay reach its next wait, and moves the clock to its end. */
async function advance(timed: Timed, ms: number): Promise<void> {
  await timed.client.checkHealth();
  await settle();
  await timed.clock.advance(ms);
}

describe("Heartbeat of an idle stream", () => {
  test('is {"has_updates":false} with the lcut sent last, every 30 s, not sooner', async () => {
    await using timed = await startTimed();
    const { sdkKey, v2, lcut } = publishKey(timed.upstream, "secret-idle");
    using stream = timed.client.streamConfigSpec({ sdkKey, version: 2 });
    expect(await stream.next()).toEqual({ spec: v2, lastUpdated: lcut });
    for (let beat = 0; beat < 3; beat++) {
      await advance(timed, HEARTBEAT_MS - 1);
      await expectSilence(timed, stream);
      await advance(timed, 1);
      expect(await stream.next()).toEqual({ spec: NO_UPDATE, lastUpdated: lcut });
    }
  });

  test("to a client that has this version it carries its lcut", async () => {
    await using timed = await startTimed();
    const { sdkKey, lcut } = publishKey(timed.upstream, "secret-idle-since");
    using stream = timed.client.streamConfigSpec({ sdkKey, version: 2, sinceTime: lcut });
    expect(await stream.next()).toEqual({ spec: NO_UPDATE, lastUpdated: lcut });
    await advance(timed, HEARTBEAT_MS);
    expect(await stream.next()).toEqual({ spec: NO_UPDATE, lastUpdated: lcut });
  });

  test("its lcut is never larger than what was sent: not that of another version's feed, nor what a client claims", async () => {
    await using timed = await startTimed();
    const { sdkKey, lcut } = publishKey(timed.upstream, "secret-idle-feeds");
    using v1 = timed.client.streamConfigSpec({ sdkKey, version: 1 });
    expect((await v1.next()).lastUpdated).toBe(lcut);
    const newer = publishKey(timed.upstream, sdkKey, 1);
    using v2 = timed.client.streamConfigSpec({ sdkKey, version: 2 });
    expect((await v2.next()).lastUpdated).toBe(newer.lcut);
    using ahead = timed.client.streamConfigSpec({ sdkKey, version: 1, sinceTime: newer.lcut });
    expect(await ahead.next()).toEqual({ spec: NO_UPDATE, lastUpdated: lcut });
    await advance(timed, HEARTBEAT_MS);
    expect(await v1.next()).toEqual({ spec: NO_UPDATE, lastUpdated: lcut });
    expect(await v2.next()).toEqual({ spec: NO_UPDATE, lastUpdated: newer.lcut });
    expect(await ahead.next()).toEqual({ spec: NO_UPDATE, lastUpdated: lcut });
  });

  test("comes 30 s after an update, with the lcut of the update", async () => {
    await using timed = await startTimed(20);
    const first = publishKey(timed.upstream, "secret-idle-update");
    using stream = timed.client.streamConfigSpec({ sdkKey: first.sdkKey, version: 2 });
    expect((await stream.next()).lastUpdated).toBe(first.lcut);
    const second = publishKey(timed.upstream, first.sdkKey, 1);
    // The poll comes after 18 to 20 s; its request takes real time, in which the clock stands still.
    await advance(timed, 20_000);
    expect(await stream.next()).toEqual({ spec: second.v2, lastUpdated: second.lcut });
    await advance(timed, 10_001);
    await expectSilence(timed, stream);
    await advance(timed, 19_999);
    expect(await stream.next()).toEqual({ spec: NO_UPDATE, lastUpdated: second.lcut });
  });

  test("comes after 30 s to a client that is ahead of the relay too, though the relay gets versions meanwhile", async () => {
    await using timed = await startTimed(20);
    const first = publishKey(timed.upstream, "secret-idle-ahead");
    const { sdkKey } = first;
    using stream = timed.client.streamConfigSpec({ sdkKey, version: 2, sinceTime: first.lcut + 1_000_000 });
    using witness = timed.client.streamConfigSpec({ sdkKey, version: 2 });
    expect(await stream.next()).toEqual({ spec: NO_UPDATE, lastUpdated: first.lcut });
    await witness.next();
    publishKey(timed.upstream, sdkKey, 1);
    await advance(timed, 20_000);
    await witness.next();
    await advance(timed, 9_999);
    await expectSilence(timed, stream);
    await advance(timed, 1);
    expect(await stream.next()).toEqual({ spec: NO_UPDATE, lastUpdated: first.lcut });
  });
});
