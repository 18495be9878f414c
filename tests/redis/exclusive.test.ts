import { expect, test } from "bun:test";
import type { RedisConnection } from "../../src/redis/connection.ts";
import type { RedisOptions } from "../../src/redis/options.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";

const KEY = "statsig-watched";

/** Increments the number at `KEY`, unless another client changes it in between. */
const addOne = ({ bulk }: RedisConnection, meanwhile: () => Promise<unknown> = () => Bun.sleep(1)) =>
  bulk.exclusively(async ({ send }) => {
    await send("WATCH", [KEY]);
    const before = Number(await send("GET", [KEY]));
    await meanwhile();
    const queued = await Promise.all([send("MULTI", []), send("SET", [KEY, String(before + 1)])]);
    expect(queued).toEqual(["OK", "QUEUED"]);
    return send("EXEC", []);
  });

describeWith("redis-server", "redis-cli")("A task with an exclusive connection", () => {
  test("runs alone: concurrent tasks do not lose updates", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const done = await Promise.all(Array.from({ length: 20 }, () => addOne(use.connection)));
    expect(done).toEqual(Array.from({ length: 20 }, () => ["OK"]));
    expect(await server.cli("GET", KEY)).toBe("20");
    expect(use.events).toEqual([]);
  });

  test("does not overwrite what another client wrote after the WATCH", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    expect(await addOne(use.connection, () => server.cli("SET", KEY, "40"))).toBeNull();
    expect(await addOne(use.connection)).toEqual(["OK"]);
    expect(await server.cli("GET", KEY)).toBe("41");
  });

  test("fails with its connection, and never continues on the next one", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const cut = async () => {
      await server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      // The library has reconnected by then.
      await Bun.sleep(500);
    };
    await expect(addOne(use.connection, cut)).rejects.toMatchObject({ kind: "unreachable" });
    expect(await server.cli("EXISTS", KEY)).toBe("0");
    await eventually(async () => expect(await addOne(use.connection)).toEqual(["OK"]));
  });

  test("that fails within a transaction does not affect the next task", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const failing = use.connection.bulk.exclusively(async ({ send }) => {
      await send("MULTI", []);
      await send("SET", [KEY, "never"]);
      throw new TypeError("a bug");
    });
    await expect(failing).rejects.toThrow("a bug");
    expect(await addOne(use.connection)).toEqual(["OK"]);
    expect(await server.cli("GET", KEY)).toBe("1");
  });

  test("can't send commands after it has ended", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const commands = await use.connection.bulk.exclusively(async (own) => own);
    await expect(commands.send("SET", [KEY, "late"])).rejects.toThrow("the exclusive task has ended");
    expect(await server.cli("EXISTS", KEY)).toBe("0");
  });

  test("fails at once while Redis is down, and works when it is back", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    expect(await addOne(use.connection)).toEqual(["OK"]);
    await server.kill();
    await use.untilEmitted("redis_down");
    await expect(addOne(use.connection)).rejects.toMatchObject({ kind: "unreachable" });
    await expect(addOne(use.connection)).rejects.toMatchObject({ kind: "unreachable" });
    await server.restart();
    await eventually(async () => expect(await addOne(use.connection)).toEqual(["OK"]));
    await use.untilEmitted("redis_up");
    expect(use.outages).toEqual(["redis_down", "redis_up"]);
  });

  test("ends when the connection is closed", async () => {
    await using server = await RedisServer.start();
    const use = new RedisUse(server.options);
    const started = Promise.withResolvers<void>();
    const running = addOne(use.connection, async () => {
      started.resolve();
      await Bun.sleep(200);
    });
    const waiting = addOne(use.connection);
    const outcomes = Promise.allSettled([running, waiting]);
    await started.promise;
    await use[Symbol.asyncDispose]();
    expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const list = async () => server.cli("CLIENT", "LIST");
    await eventually(async () => expect(await list()).not.toContain("statsig-forward-proxy"));
  });

  test("is rejected on a Cluster", async () => {
    const address: RedisOptions["address"] = { kind: "cluster", nodes: [{ host: "127.0.0.1", port: 1 }] };
    await using server = await RedisServer.reserve();
    await using use = new RedisUse({ ...server.options, address });
    await expect(use.connection.bulk.exclusively(async () => 1)).rejects.toMatchObject({
      kind: "refused",
      message: "without EVAL, the relay can't write to a Redis Cluster",
    });
  });
});
