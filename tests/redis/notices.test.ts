import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { RedisNotices } from "../../src/redis/fleet.ts";
import { redisFeedId } from "../../src/redis/keys.ts";
import type { VersionId } from "../../src/specs/deltas/delta.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { createRedisCertificates } from "../support/redis/redis-certificates.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const digest = redisFeedId(feedOf("secret-of-the-customer"));

const versionOf = (lcut: number, checksum = ""): VersionId => ({ lcut, checksum });

/** A relay that receives what others publish. */
class Listener extends RedisUse {
  readonly notices = new RedisNotices(this.connection, systemClock, strictSupervisor());
  readonly heard: (readonly [feed: string, version: VersionId])[] = [];

  async listening(): Promise<this> {
    if (this.notices.isListening) return this;
    this.notices.listen((...notice) => this.heard.push(notice));
    await this.hears();
    return this;
  }

  async hears(withinMs = 15_000): Promise<void> {
    await eventually(() => expect(this.notices.isListening).toBe(true), { withinMs });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.notices[Symbol.asyncDispose]();
    await super[Symbol.asyncDispose]();
  }
}

/** Publishes until it is received: a lost subscription is noticed only after a while. */
async function isHeard(from: Listener, by: Listener, lcut: number): Promise<void> {
  await eventually(
    async () => {
      await from.notices.publish(digest, versionOf(lcut));
      expect(by.heard.at(-1)).toEqual([digest, versionOf(lcut)]);
    },
    { withinMs: 20_000, everyMs: 100 },
  );
}

describeWith("redis-server", "redis-cli")("Notices of new versions", () => {
  test("are received by every relay exactly once", async () => {
    await using server = await RedisServer.start();
    await using sender = new Listener(server.options);
    await using first = await new Listener(server.options).listening();
    await using second = await new Listener(server.options).listening();
    for (const lcut of [1, 2, 3]) await sender.notices.publish(digest, versionOf(lcut));
    for (const relay of [first, second]) {
      await eventually(() => expect(relay.heard.map(([, { lcut }]) => lcut)).toEqual([1, 2, 3]));
    }
  });

  test("are ignored if they are malformed", async () => {
    await using server = await RedisServer.start();
    await using relay = await new Listener(server.options).listening();
    for (const text of [
      "",
      "x",
      `${digest} abc`,
      `${digest} -1`,
      `x${digest} 1`,
      `${digest} 9007199254740993`,
      `${digest} 7 `,
      `${digest} 7 !`,
      `${digest} 7 ${"a".repeat(601)}`,
      `${digest} 7 YQ YQ`,
    ]) {
      await server.cli("PUBLISH", UNPREFIXED.versionsChannel, text);
    }
    await relay.notices.publish(digest, versionOf(5));
    await eventually(() => expect(relay.heard).toEqual([[digest, versionOf(5)]]));
  });

  test("of another content name its checksum, whatever characters it has", async () => {
    await using server = await RedisServer.start();
    await using relay = await new Listener(server.options).listening();
    const checksums = ["8154377241829301", "q+/8 ü==", "é".repeat(100)];
    for (const checksum of checksums) await relay.notices.publish(digest, versionOf(7, checksum));
    await eventually(() => {
      expect(relay.heard).toEqual(checksums.map((checksum) => [digest, versionOf(7, checksum)]));
    });
  });

  test("are received again after a Redis outage", async () => {
    await using server = await RedisServer.start();
    await using relay = await new Listener(server.options).listening();
    await server.kill();
    await eventually(() => expect(relay.notices.isListening).toBe(false));
    await server.restart();
    await relay.hears();
    await isHeard(relay, relay, 1);
  });

  test("are received again after Redis hung", async () => {
    await using server = await RedisServer.start();
    await using relay = await new Listener({ ...server.options, commandTimeoutMs: 500 }).listening();
    server.hang();
    await eventually(() => expect(relay.notices.isListening).toBe(false));
    server.goOn();
    await relay.hears();
    await isHeard(relay, relay, 1);
  });
});

describeWith(
  "redis-server",
  "redis-cli",
  "openssl",
)("Notices over TLS with a user", () => {
  test("are received", async () => {
    using tls = createRedisCertificates();
    await using server = await RedisServer.start({ tls, user: { name: "relay", password: "p w" } });
    await using relay = await new Listener(server.options).listening();
    await isHeard(relay, relay, 1);
  });
});

describeWith("redis-server", "redis-cli")("Notices on a Cluster", () => {
  const owned = new AsyncDisposableStack();
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = owned.use(await RedisCluster.start());
  }, 30_000);
  afterAll(() => owned.disposeAsync());

  test("use the shard of the channel, and follow it to another node", async () => {
    await using sender = new Listener(cluster.options);
    await using relay = await new Listener(cluster.options).listening();
    await isHeard(sender, relay, 1);
    const home = await cluster.findNode(UNPREFIXED.versionsChannel);
    expect(await home.cli("PUBSUB", "SHARDNUMSUB", UNPREFIXED.versionsChannel)).toBe(
      `${UNPREFIXED.versionsChannel}\n1`,
    );

    const slot = await home.cli("CLUSTER", "KEYSLOT", UNPREFIXED.versionsChannel);
    const elsewhere = cluster.nodes.find((node) => node !== home) ?? home;
    const id = await elsewhere.cli("CLUSTER", "MYID");
    // The new owner first, so that its configuration is the newest.
    for (const node of [elsewhere, ...cluster.nodes]) await node.cli("CLUSTER", "SETSLOT", slot, "NODE", id);
    await isHeard(sender, relay, 2);
    expect(await elsewhere.cli("PUBSUB", "SHARDNUMSUB", UNPREFIXED.versionsChannel)).toBe(
      `${UNPREFIXED.versionsChannel}\n1`,
    );
  }, 30_000);

  test("are received again after an outage of their node", async () => {
    await using relay = await new Listener(cluster.options).listening();
    await isHeard(relay, relay, 3);
    for (const node of cluster.nodes) {
      await node.kill();
      await node.restart();
    }
    await relay.hears();
    await isHeard(relay, relay, 4);
  }, 40_000);
});
