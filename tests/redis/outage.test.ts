import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeWith } from "../support/common/needs.ts";
import { eventually, within } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisWriter, SHORT_LIMIT } from "../support/redis/redis-writer.ts";

const PAUSE_MS = 3_000;

describeWith("redis-server", "redis-cli")("A Redis", () => {
  test("that is absent at the start is used when it comes up", async () => {
    const server = await RedisServer.reserve();
    await using _ = server;
    const startedAt = performance.now();
    await using relay = new RedisWriter(server.options);
    expect(await relay.write()).toBe("connection refused");
    await sleep(1_000);
    expect(relay.outages).toEqual(["redis_down"]);
    expect(relay.events[0]).toEqual({ kind: "redis_down", reason: "connection refused" });
    await server.restart();
    await relay.writesAgain();
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
    const up = relay.events.find((event) => event.kind === "redis_up");
    expect(up?.downForMs).toBeWithin(900, performance.now() - startedAt + 100);
  });

  test("that is up from the start emits no event, and commands wait for it", async () => {
    await using server = await RedisServer.start();
    await using relay = new RedisWriter(server.options);
    expect(await relay.write()).toEqual({ kind: "written" });
    expect(relay.outages).toEqual([]);
  });

  test("that stops and comes back is reported once each time", async () => {
    await using server = await RedisServer.start();
    await using relay = new RedisWriter({ ...server.options, pool: { min: 3, max: 3 } });
    for (let round = 1; round <= 2; round++) {
      await relay.writesAgain();
      await server.kill();
      await relay.untilEmitted("redis_down", round);
      const startedAt = performance.now();
      expect(await relay.write()).toMatch(/^connection (refused|closed)$/);
      // It is known to be down, so that nothing waits for a reply.
      expect(performance.now() - startedAt).toBeLessThan(server.options.commandTimeoutMs);
      await sleep(500);
      await server.restart();
      await relay.untilEmitted("redis_up", round);
    }
    expect(relay.outages).toEqual(["redis_down", "redis_up", "redis_down", "redis_up"]);
  });

  test("that hangs is down, and is used again when it continues", async () => {
    await using server = await RedisServer.start();
    await using relay = new RedisWriter({ ...server.options, ...SHORT_LIMIT });
    await relay.writesAgain();
    server.hang();
    expect(await relay.write()).toMatch(/no reply|closed/);
    await relay.untilEmitted("redis_down");
    expect(relay.events.find(({ kind }) => kind === "redis_down")).toEqual({
      kind: "redis_down",
      reason: "no reply in time",
    });
    for (let i = 0; i < 5; i++) expect(await relay.write()).toBeString();
    await sleep(2_000);
    server.goOn();
    await relay.writesAgain();
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
  });

  test("that hangs from the start does not delay closing", async () => {
    await using server = await RedisServer.start();
    server.hang();
    const relay = new RedisWriter({ ...server.options, ...SHORT_LIMIT });
    expect(await relay.write()).toMatch(/no reply/);
    await within(relay[Symbol.asyncDispose](), 4_000, "the end of the connections");
    server.goOn();
  });

  test.each(["ALL", "WRITE"])(
    "under CLIENT PAUSE %s is reported as down once, however long it takes",
    async (mode) => {
      await using server = await RedisServer.start();
      await using relay = new RedisWriter({ ...server.options, ...SHORT_LIMIT });
      await relay.writesAgain();
      const pausedAt = performance.now();
      await server.cli("CLIENT", "PAUSE", String(PAUSE_MS), mode);
      for (let i = 0; i < 4; i++) {
        const outcome = await relay.write();
        if (performance.now() - pausedAt < PAUSE_MS) expect(outcome).toBeString();
        await sleep(300);
      }
      await relay.writesAgain();
      expect(relay.outages).toEqual(["redis_down", "redis_up"]);
    },
  );

  test("that sleeps for less than the time limit emits no event", async () => {
    await using server = await RedisServer.start({ config: ["enable-debug-command local"] });
    await using relay = new RedisWriter(server.options);
    await relay.writesAgain();
    const asleep = server.cli("DEBUG", "SLEEP", "0.6");
    await sleep(50);
    expect(await relay.write()).toEqual({ kind: "written" });
    await asleep;
    expect(relay.outages).toEqual([]);
  });

  test("that sleeps for longer is reported as down once", async () => {
    await using server = await RedisServer.start({ config: ["enable-debug-command local"] });
    await using relay = new RedisWriter({ ...server.options, ...SHORT_LIMIT });
    await relay.writesAgain();
    const asleep = server.cli("DEBUG", "SLEEP", "4");
    // Until the command has arrived, writes succeed.
    await eventually(async () => expect(await relay.write()).toBeString());
    await asleep;
    await relay.writesAgain();
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
  });
});
