import { expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { RedisNotices } from "../../src/redis/fleet.ts";
import { redisFeedId } from "../../src/redis/keys.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually, within } from "../support/common/wait.ts";
import { RedisSentinels } from "../support/redis/redis-sentinels.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisWriter, writtenFeed } from "../support/redis/redis-writer.ts";

const FAILOVER_WITHIN_MS = 20_000;

describeWith(
  "redis-server",
  "redis-sentinel",
  "redis-cli",
)("With Sentinels", () => {
  test("after the master was killed, writes go to the new master, with their notices", async () => {
    await using set = await RedisSentinels.start({ downAfterMs: 1_500 });
    await using relay = new RedisWriter(set.options);
    await using notices = new RedisNotices(relay.connection, systemClock, strictSupervisor());
    const heard: number[] = [];
    notices.listen((_digest, { lcut }) => heard.push(lcut));
    await relay.writesAgain();
    await eventually(() => expect(notices.isListening).toBe(true));

    await set.master.kill();
    await relay.writesAgain(FAILOVER_WITHIN_MS);
    expect(await set.replica.cli("INFO", "replication")).toContain("role:master");
    const read = await relay.kept.read(writtenFeed, -1);
    expect(read.kind === "found" && read.raw.headerLcut).toBe(relay.lcut);
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
    await eventually(() => expect(notices.isListening).toBe(true));
    await notices.publish(redisFeedId(writtenFeed), { lcut: 42, checksum: "" });
    await eventually(() => expect(heard).toEqual([42]));
  }, 40_000);

  test("one Sentinel that is left is enough, and names the others", async () => {
    await using set = await RedisSentinels.start();
    const [first, second, third] = set.sentinels;
    await first?.kill();
    second?.hang();
    await using relay = new RedisWriter({ ...set.options, connectTimeoutMs: 500 });
    await relay.writesAgain();
    expect(third).toBeDefined();
    second?.goOn();
  }, 40_000);

  test("without a reachable Sentinel, the reason says so", async () => {
    const absent = await RedisServer.reserve();
    await using _ = absent;
    const sentinels = [{ host: "127.0.0.1", port: absent.port }];
    const address = { kind: "sentinel", sentinels, master: "mymaster" } as const;
    await using relay = new RedisWriter({ ...absent.options, address });
    await relay.untilEmitted("redis_down");
    expect(relay.events).toEqual([
      { kind: "redis_down", reason: "no Sentinel knows the master, or none can be reached" },
    ]);
    await within(relay[Symbol.asyncDispose](), 4_000, "the end of the connections");
  });
});
