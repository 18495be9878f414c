import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { NOTHING_HELD } from "../../src/specs/source.ts";
import { UpstreamEndpoint } from "../../src/upstream/endpoint.ts";
import { StatsigSpecs } from "../../src/upstream/specs.ts";
import {
  DEFAULT_LIMITS,
  MIN_BYTES_PER_S,
  SLOW_AFTER_MS,
  TimeLimit,
  TimeLimitReached,
  type TimeLimits,
} from "../../src/upstream/time-limit.ts";
import { FakeClock, settle } from "../support/common/fake-clock.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";
import type { Fault } from "../support/upstream/upstream-faults.ts";

const SILENCE_LIMIT_MS = DEFAULT_LIMITS.readMs;

const running = new AbortController().signal;

function limitOf({ port, ...limits }: Partial<TimeLimits> & { readonly port?: number } = {}) {
  const clock = new FakeClock();
  const address = port === undefined ? undefined : { host: "127.0.0.1", port };
  const limit = new TimeLimit(clock, { address, limits: { ...DEFAULT_LIMITS, ...limits } }, running);
  return {
    clock,
    limit,
    /** The reason of the abort, if it was aborted. */
    ending: (): string | undefined => {
      const { aborted, reason } = limit.signal;
      return aborted && reason instanceof TimeLimitReached ? reason.failure : undefined;
    },
    [Symbol.dispose]: () => limit[Symbol.dispose](),
  };
}

test("aborts a request without a response within 10 s", async () => {
  using at = limitOf();
  await at.clock.advance(SILENCE_LIMIT_MS - 1);
  expect(at.ending()).toBeUndefined();
  await at.clock.advance(1);
  expect(at.ending()).toBe("timeout");
});

test("an upstream that accepts no connection is unreachable after 10 s", async () => {
  using at = limitOf({ port: await freePort() });
  await at.clock.advance(9_999);
  expect(at.ending()).toBeUndefined();
  await at.clock.advance(1);
  expect(at.ending()).toBe("unreachable");
});

test("a request that takes long to send has 30 s if upstream is connected, and 10 s if it is not", async () => {
  const listening = createServer().listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as AddressInfo;
  using connected = limitOf({ port, readMs: 30_000 });
  const connection = once(listening, "connection");
  await connected.clock.advance(5_000);
  await connection;
  await settle();
  await connected.clock.advance(24_999);
  expect(connected.ending()).toBeUndefined();
  await connected.clock.advance(1);
  expect(connected.ending()).toBe("timeout");
  listening.close();

  using alone = limitOf({ port: await freePort(), readMs: 30_000 });
  await alone.clock.advance(10_000);
  expect(alone.ending()).toBe("unreachable");
});

test("a body that arrives steadily has no time limit", async () => {
  using at = limitOf();
  await at.clock.advance(9_000);
  at.limit.responded();
  // 18 MB at 600 kB/s, and then at a tenth of that.
  for (let second = 0; second < 300; second++) {
    await at.clock.advance(1_000);
    at.limit.received(60_000);
  }
  expect(at.ending()).toBeUndefined();
});

test("aborts after 10 s without a byte, at any time", async () => {
  for (const pieces of [0, 1, 50]) {
    using at = limitOf();
    at.limit.responded();
    for (let piece = 0; piece < pieces; piece++) {
      await at.clock.advance(9_000);
      at.limit.received(1_000_000);
    }
    await at.clock.advance(SILENCE_LIMIT_MS - 1);
    expect(at.ending()).toBeUndefined();
    await at.clock.advance(1);
    expect(at.ending()).toBe("timeout");
  }
});

test("a byte every 9 s is not progress: after 30 s the body must arrive at the minimum rate", async () => {
  using at = limitOf();
  at.limit.responded();
  let seconds = 0;
  for (; at.ending() === undefined && seconds < 1_000; seconds += 9) {
    await at.clock.advance(9_000);
    at.limit.received(1);
  }
  expect(seconds * 1_000).toBeLessThan(SLOW_AFTER_MS + SILENCE_LIMIT_MS);
});

test("a body that was fast at first must not trickle forever", async () => {
  using at = limitOf();
  at.limit.responded();
  at.limit.received(100 * MIN_BYTES_PER_S);
  let seconds = 0;
  for (; at.ending() === undefined && seconds < 10_000; seconds += 5) {
    await at.clock.advance(5_000);
    at.limit.received(1);
  }
  expect(seconds).toBeWithin(125, 141);
});

test("connects within its own limit, however long upstream may be silent", async () => {
  using at = limitOf({ port: await freePort(), connectMs: 4_000, readMs: 60_000 });
  await at.clock.advance(3_999);
  expect(at.ending()).toBeUndefined();
  await at.clock.advance(1);
  expect(at.ending()).toBe("unreachable");
});

test("a given total ends a request that makes progress, and replaces the minimum rate", async () => {
  using steady = limitOf({ totalMs: 120_000 });
  steady.limit.responded();
  for (let second = 0; second < 119; second++) {
    await steady.clock.advance(1_000);
    steady.limit.received(1);
    expect(steady.ending()).toBeUndefined();
  }
  await steady.clock.advance(1_000);
  expect(steady.ending()).toBe("timeout");
  expect(String(steady.limit.signal.reason)).toContain("--http-request-timeout-in-s");
});

test("a given total also ends a request without a response", async () => {
  using at = limitOf({ totalMs: 3_000 });
  await at.clock.advance(2_999);
  expect(at.ending()).toBeUndefined();
  await at.clock.advance(1);
  expect(at.ending()).toBe("timeout");
});

test("after disposal no timer is left, and nothing is aborted", async () => {
  const at = limitOf({ port: 9 });
  at.limit.responded();
  at[Symbol.dispose]();
  await settle();
  expect(at.clock.sleeping).toBe(0);
  await at.clock.advance(100_000);
  expect(at.limit.signal.aborted).toBe(false);
});

describe("a fetch of config specs is aborted if upstream", () => {
  const trickle: Fault = { kind: "drip", chunkBytes: 1, everyMs: 60 };

  test.each([
    ["never responds", { kind: "hang" }, "no response from upstream within 10 s"],
    [
      "stops halfway",
      { kind: "stall", afterBytes: 40 },
      "upstream stopped in the middle of its response: no data for 10 s",
    ],
    ["sends a byte every 9 s", trickle, "upstream sends its response at less than 1024 bytes/s"],
  ] as const)("%s", async (_, fault, detail) => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-slow");
    upstream.misbehave(fault);
    const clock = new FakeClock();
    const endpoint = new UpstreamEndpoint({ baseUrl: upstream.url, proxied: true, relayVersion: "1.2.3" });
    let pieces = 0;
    const fetched = new StatsigSpecs(endpoint, clock, 1_000_000).fetchSpecs(
      feedOf(sdkKey),
      NOTHING_HELD,
      running,
      () => pieces++,
    );
    let isOver = false;
    void fetched.then(() => {
      isOver = true;
    });
    await eventually(() => expect(upstream.requests).toHaveLength(1));
    if (fault.kind !== "hang") await eventually(() => expect(pieces).toBeGreaterThan(1));
    while (!isOver) {
      const before = pieces;
      await clock.advance(9_000);
      if (fault.kind === "drip" && !isOver)
        await eventually(() => expect(isOver || pieces > before).toBe(true));
      else await sleep(20);
    }
    expect(await fetched).toEqual({ kind: "failed", cause: "timeout", detail });
  });
});
