import { describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { systemClock } from "../../src/platform/clock.ts";
import { RedisFleetChannel, RedisNotices } from "../../src/redis/fleet.ts";
import { DEFAULT_REDIS_OPTIONS, type RedisAddress } from "../../src/redis/options.ts";
import { WriteProbe } from "../../src/redis/write-probe.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { within } from "../support/common/wait.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { FixedReplyServer } from "../support/upstream/fixed-reply-server.ts";

const LIMIT_MS = 300;
/** Many of these run at once, and the machine may be busy. */
const SLACK_MS = 10_000;

const feed = feedOf("secret-of-the-customer");

const addresses: readonly ((port: number) => RedisAddress)[] = [
  (port) => ({ kind: "single", host: "127.0.0.1", port, db: 0 }),
  (port) => ({ kind: "cluster", nodes: [{ host: "127.0.0.1", port }] }),
  (port) => ({ kind: "sentinel", sentinels: [{ host: "127.0.0.1", port }], master: "m" }),
];

/** Does everything that a relay does with a server that replies to every command with `answer`. */
async function everything(answer: string, address: (port: number) => RedisAddress): Promise<RedisUse> {
  await using server = await FixedReplyServer.start(answer);
  await using use = new RedisUse({
    ...DEFAULT_REDIS_OPTIONS,
    address: address(server.port),
    connectTimeoutMs: LIMIT_MS,
    commandTimeoutMs: LIMIT_MS,
  });
  const redis = use.connection;
  await using probe = new WriteProbe({
    supervisor: strictSupervisor(),
    redis,
    leaderKeyTtlMs: 1_000,
    responseValidMs: () => 1_000,
    clock: systemClock,
    emit: use.emit,
  });
  await using notices = new RedisNotices(redis, systemClock, strictSupervisor());
  const notice: unknown[] = [];
  notices.listen((...args) => notice.push(args));
  const channel = new RedisFleetChannel(redis, notices, systemClock);
  probe.upstreamResponded();
  const backup = use.backup();
  const all = Promise.allSettled([
    backup.read(feed, -1).then(({ kind }) => expect(kind).not.toBe("found")),
    backup.write(snapshotOf(feed, 7)),
    backup.touch(snapshotOf(feed, 7)),
    notices.publish("digest", { lcut: 7, checksum: "" }),
    channel
      .look(feed, { freshForMs: 1_000, claimedForMs: 1_000 })
      .then((seen) => expect.unreachable(JSON.stringify(seen))),
  ]);
  // At most four commands, one after the other.
  await within(all, 4 * LIMIT_MS + SLACK_MS, "the end of all commands");
  await sleep(LIMIT_MS);
  expect(notice).toEqual([]);
  return use;
}

// An uncaught error fails the test that is running.
describe("A server that is not a Redis", () => {
  test.each([
    ["a web server", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ["a TLS server", "\x15\x03\x01\x00\x02\x02\x16"],
    ["nothing again and again", "$-1\r\n".repeat(20)],
    ["no list again and again", "*-1\r\n".repeat(20)],
    ["OK again and again", "+OK\r\n".repeat(20)],
    ["a number again and again", ":1\r\n".repeat(20)],
    ["an error again and again", "-ERR no\r\n".repeat(20)],
    ["half an answer", "$1000\r\nabc"],
    ["an answer without an end", `$${"9".repeat(15)}\r\n`],
    ["a push without a name", ">1\r\n$-1\r\n"],
    ["a push without a channel", ">1\r\n+subscribe\r\n"],
    ["a message to a channel without a subscription", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"],
    ["slots of a Cluster with odd nodes", "*1\r\n*3\r\n:0\r\n:16383\r\n$-1\r\n"],
    ["slots of a Cluster without an end", "*1\r\n*3\r\n:0\r\n:99999999999\r\n*2\r\n$1\r\na\r\n:1\r\n"],
    ["a master without an address", "*2\r\n$-1\r\n$-1\r\n"],
  ])(
    "such as %s, is reported once and only delays commands",
    async (_, answer) => {
      const uses = await Promise.all(addresses.map((address) => everything(answer, address)));
      for (const use of uses) {
        expect(use.kinds("redis_up")).toEqual([]);
        expect(use.outages.length).toBeLessThanOrEqual(1);
        expect(use.words()).not.toContain(feed.sdkKey);
      }
    },
    30_000,
  );

  test("never ends the process for any reply", async () => {
    const reply = fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        fc.constantFrom("$-1\r\n", "*-1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(12345\r\n", "\r\n"),
        fc.integer().map((n) => `:${n}\r\n`),
        fc.constantFrom("OK", "PONG", "up", "written", "subscribe", "message").map((text) => `+${text}\r\n`),
        fc
          .constantFrom(
            "ERR x",
            "MOVED 1 127.0.0.1:1",
            "MOVED x y",
            "ASK 1 :1",
            "READONLY",
            "LOADING",
            "NOSCRIPT",
          )
          .map((text) => `-${text}\r\n`),
        fc.string({ maxLength: 20 }).map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`),
        fc
          .tuple(
            fc.constantFrom("*", ">", "~"),
            fc.array(tie("any") as fc.Arbitrary<string>, { maxLength: 5 }),
          )
          .map(([type, parts]) => `${type}${parts.length}\r\n${parts.join("")}`),
        fc.string({ maxLength: 20 }),
      ),
    })).any as fc.Arbitrary<string>;
    const answers = fc.array(reply, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(fc.array(answers, { minLength: 8, maxLength: 8 }), async (batch) => {
        await Promise.all(batch.flatMap((answer) => addresses.map((address) => everything(answer, address))));
      }),
      { numRuns: 4, endOnFailure: true },
    );
  }, 60_000);
});
