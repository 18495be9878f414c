import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { systemClock } from "../../src/platform/clock.ts";
import { type Denied, toRedisFailure } from "../../src/redis/errors.ts";
import { RedisFleetChannel, RedisNotices } from "../../src/redis/fleet.ts";
import { textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { envOfUser, limitedUser, ORIGINAL_COMMANDS } from "../support/redis/redis-users.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { problemsOf as doctorProblems, expectProblem } from "../support/relay/doctor.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const ALL = "~* &* +@all";
const feed = feedOf("secret-of-a-limited-user");

const missingIn = (use: RedisUse): readonly string[] =>
  use.events.flatMap((event) => (event.kind === "redis_permission_missing" ? event.permission : []));

test.each([
  ["NOPERM this user has no permissions to run the 'hset' command or its subcommand", "command"],
  ["NOPERM this user has no permissions to access one of the keys used as arguments", "key"],
  ["NOPERM this user has no permissions to access one of the channels used as arguments", "channel"],
  ["NOPERM User api-key has no permissions to run the 'hset' command", "command"],
  ["NOPERM User api-key has no permissions to access the 'statsig|a' key", "key"],
  ["NOPERM User api-key has no permissions to access the 'statsig::versions' channel", "channel"],
  ["NOPERM No permissions to access a key", "key"],
  ["NOPERM No permissions to access a channel", "channel"],
  [
    "ERR The user executing the script can't run this command or subcommand script: 42, on @user_script:1.",
    "script",
  ],
  ["ERR ACL failure in script: User a has no permissions to run the 'hset' command script: 42", "script"],
  ["ERR unknown command 'EVAL', with args beginning with: 'return NOPERM'", "command"],
  ["ERR Unknown Redis command called from script script: 42", "script"],
  ["READONLY You can't write against a read only replica.", undefined],
  ["WRONGTYPE Operation against a key holding the wrong kind of value", undefined],
] as const)("errors of Redis 6 and 7 are recognized: %s", (message, denied) => {
  const failure = toRedisFailure(Object.assign(new Error(message), { name: "ReplyError" }));
  expect(failure.denied).toBe(denied as Denied | undefined);
  expect(failure.message).not.toContain("api-key");
});

describeWith("redis-server", "redis-cli")("A Redis user", () => {
  let server: RedisServer;
  let upstream: Upstream;
  beforeAll(async () => {
    server = await RedisServer.start();
    upstream = await startUpstream();
  });
  afterAll(async () => {
    await upstream?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });
  beforeEach(() => server.cli("FLUSHALL"));

  test.each([
    ["with all permissions", ALL, []],
    ["without SCRIPT", `${ALL} -script`, []],
    ["without INFO", `${ALL} -info`, []],
    ["without EVALSHA", `${ALL} -evalsha`, []],
    ["without EVAL", `${ALL} -evalsha -eval`, ["+eval"]],
    [
      "with the keys of the original relay alone",
      "~statsig|* ~statsig_forward_proxy::leader &* +@all",
      ["~statsig_forward_proxy::*"],
    ],
    ["without TTL", `${ALL} -ttl`, ["+hmget +hstrlen +ttl +del +hset +expire", "+ttl"]],
    ["without what the script does", `${ALL} -hmget -hstrlen`, ["+hmget", "+hstrlen"]],
    ["with the commands of the original relay", ORIGINAL_COMMANDS, ["+hmget", "+hstrlen"]],
  ])(
    "%s writes, reads, keeps and deletes, and what is missing is reported once",
    async (_, rules, missing) => {
      await using use = new RedisUse(await limitedUser(server, `${rules}`, "use"));
      const backup = use.backup();
      for (let lcut = 1; lcut <= 3; lcut++) {
        const snapshot = await preparedSnapshot(feed, lcut);
        expect(await backup.write(snapshot)).toEqual({ kind: "written" });
        expect(await backup.write(snapshot)).toEqual({ kind: "not_newer", lcut });
        expect((await backup.read(feed, -1)).kind).toBe("found");
        expect(await backup.touch(snapshot)).toBe(true);
      }
      await backup.remove(feed);
      expect(await server.cli("KEYS", "statsig[|:]*")).toBe("");
      expect(missingIn(use).toSorted()).toEqual([...missing].toSorted());
      expect(use.connection.permissions.missing.map(({ permission }) => permission)).toEqual(
        missingIn(use).slice(),
      );
      for (const { cost } of use.connection.permissions.missing) expect(cost).toMatch(/\w{3}/);
    },
  );

  test("works without commands that are disabled in Redis", async () => {
    const config = ['rename-command EVAL ""', 'rename-command EVALSHA ""', 'rename-command HSTRLEN ""'];
    await using bare = await RedisServer.start({ config });
    await using use = new RedisUse(bare.options);
    const backup = use.backup();
    for (const lcut of [1, 2]) {
      expect(await backup.write(await preparedSnapshot(feed, lcut))).toEqual({ kind: "written" });
    }
    expect((await backup.read(feed, 1)).kind).toBe("found");
    expect(missingIn(use)).toEqual(["+hstrlen"]);
  });

  test("without the channel is reported once, and receives notices when it may use it", async () => {
    const options = await limitedUser(server, "~* resetchannels +@all", "deaf");
    await using use = new RedisUse(options);
    await using notices = new RedisNotices(use.connection, systemClock, strictSupervisor());
    notices.listen(() => {});
    await use.untilEmitted("redis_permission_missing");
    const publishing = notices.publish("digest", { lcut: 1, checksum: "" });
    await expect(publishing).rejects.toThrow("the Redis user may not use this channel");
    expect(missingIn(use)).toEqual(["&statsig_forward_proxy::*"]);
    expect(notices.isListening).toBe(false);
  });

  test("that may run scripts, but not the commands in those of a fleet: the missing ones are reported", async () => {
    await using use = new RedisUse(await limitedUser(server, `${ALL} -type`, "untyped"));
    await using notices = new RedisNotices(use.connection, systemClock, strictSupervisor());
    const channel = new RedisFleetChannel(use.connection, notices, systemClock);
    await expect(channel.look(feed, { freshForMs: 1_000, claimedForMs: 1_000 })).rejects.toThrow(
      "may not run",
    );
    expect(missingIn(use)).toEqual(["+get +set +type +pttl"]);
    await limitedUser(server, ALL, "untyped");
    await server.cli("CLIENT", "KILL", "USER", "untyped");
    await use.untilEmitted("redis_up");
    await channel.look(feed, { freshForMs: 1_000, claimedForMs: 1_000 });
    expect(use.connection.permissions.missing).toEqual([]);
  });

  test("that is given a permission can use it after the next connect", async () => {
    await using use = new RedisUse(await limitedUser(server, `${ALL} -eval -evalsha`, "given"));
    const backup = use.backup();
    await backup.write(await preparedSnapshot(feed, 1));
    expect(missingIn(use)).toEqual(["+eval"]);
    await limitedUser(server, `${ALL}`, "given");
    await server.cli("CLIENT", "KILL", "USER", "given");
    await use.untilEmitted("redis_up");
    await backup.write(await preparedSnapshot(feed, 2));
    expect(use.kinds("redis_permission_given")).toHaveLength(1);
    expect(use.connection.permissions.missing).toEqual([]);
  });

  test("that may only use other keys: the missing ones are reported", async () => {
    await using use = new RedisUse(await limitedUser(server, "~other* &* +@all", "elsewhere"));
    await expect(use.backup().write(await preparedSnapshot(feed, 1))).rejects.toThrow("may not use this key");
    expect(missingIn(use)).toEqual(["~statsig*"]);
  });

  const keyIn = (sdkKey: string) =>
    `statsig|/v2/download_config_specs|plain_text|${createHash("sha256").update(sdkKey).digest("base64")}`;

  test.each([
    ["with the commands of the original relay", ORIGINAL_COMMANDS],
    ["without INFO", `${ALL} -info`],
  ])(
    "%s is enough for a relay: versions get in, and are served after a restart without upstream",
    async (_, rules) => {
      const env = envOfUser(await limitedUser(server, `${rules}`, "relay"));
      const { sdkKey } = publishKey(upstream, "secret-of-a-limited-relay");
      const start = () =>
        startRelayProcess({ upstream, cache: "redis", env, pollIntervalS: 1, args: ["--fleet-polling"] });
      {
        await using relay = await start();
        await ask(relay, sdkKey);
        const newer = publishKey(upstream, sdkKey, 1);
        await eventually(async () =>
          expect(await server.cli("HGET", keyIn(sdkKey), "config")).toBe(newer.v2),
        );
        const linesWith = (text: string) =>
          relay
            .output()
            .split("\n")
            .filter((line) => line.includes(text));
        const missing = () => linesWith("Redis permission missing");
        if (rules !== ORIGINAL_COMMANDS) expect(missing()).toEqual([]);
        else {
          const ofEval = () => missing().filter((line) => line.includes("+eval "));
          await eventually(() => expect(ofEval()).toHaveLength(1));
        }
        expect(linesWith("Skipping the ready check")).toEqual([]);
      }
      const served = publishKey(upstream, sdkKey, 1);
      await upstream.stop();
      await using relay = await start();
      expect(textOf(await ask(relay, sdkKey))).toBe(served.v2);
      await upstream.restart();
    },
    30_000,
  );

  test("that lacks permissions is a problem on the status page, until it has them", async () => {
    const env = envOfUser(await limitedUser(server, `${ALL} -eval -evalsha`, "shown"));
    const { sdkKey } = publishKey(upstream, "secret-of-a-shown-user");
    await using managed = await startManagedRelay({ upstream, cache: "redis", env });
    await ask(managed.relay, sdkKey);
    const report = await reported(managed, (each) =>
      expect(problemsOf(each)).toContainEqual([
        "redis_permission_missing",
        "The Redis user lacks the permission +eval",
      ]),
    );
    expect(report.problems[0]?.detail).toBeString();
    expect(report.state).toBe("degraded");
  });

  describe("is checked by doctor, which finds", () => {
    const run = async (rules: string, ...args: string[]) => {
      const env = envOfUser(await limitedUser(server, `${rules}`, "doctor"));
      return doctorProblems(upstream, args, env, "redis");
    };
    const detailsOf = async (rules: string, ...args: string[]) =>
      (await run(rules, ...args)).map(({ state, detail }) => `${state}: ${detail.split(":")[0]}`);

    test("nothing if it has all permissions, and leaves no keys behind", async () => {
      expect(await detailsOf(`${ALL} -info -script`, "--fleet-polling", "--redis-key-schema", "v4")).toEqual(
        [],
      );
      expect(await server.cli("DBSIZE")).toBe("0");
    });

    test.each([
      ["-evalsha -eval", ["+evalsha", "+eval"]],
      ["-hmget", ["+hmget"]],
      ["-setnx", ["+setnx"]],
      ["-type", ["+type"]],
    ])("each missing permission: %s", async (rules, missing) => {
      const found = await detailsOf(`${ALL} ${rules}`, "--fleet-polling");
      const lacks = missing.map((permission) => `warning: the Redis user lacks the permission ${permission}`);
      expect(found).toEqual(expect.arrayContaining(lacks));
      expect(found.filter((detail) => detail.includes("lacks"))).toHaveLength(missing.length);
      expect(await server.cli("DBSIZE")).toBe("0");
    });

    test("the missing channel, and how to give it", async () => {
      const problems = await run("~* resetchannels +@all", "--fleet-polling");
      expect(problems.every(({ state }) => state === "warning")).toBe(true);
      const [lacks] = problems.filter(({ detail }) => detail.includes("lacks"));
      expect(lacks?.detail).toContain("&statsig_forward_proxy::*");
      expect(lacks?.fix).toBe("ACL SETUSER doctor &statsig_forward_proxy::*");
    });

    test("a failure if nothing can be written", async () => {
      const problems = run("~* &* +@read +@connection");
      await expectProblem(problems, "Redis", /entries cannot be .*may not run/, /ACL SETUSER/);
      expect((await problems)[0]?.state).toBe("failed");
    });

    test("nothing with the permissions that docs/redis.md requires", async () => {
      const page = await readFile(new URL("../../docs/redis.md", import.meta.url), "utf8");
      const [, rules = ""] = /ACL SETUSER relay on >PASSWORD ([^`]+)```/.exec(page) ?? [];
      expect(await detailsOf(rules.trim().replaceAll(/\s+/g, " "), "--fleet-polling")).toEqual([]);
    });

    test("nothing severe with the commands of the original relay", async () => {
      const states = (await run(ORIGINAL_COMMANDS, "--fleet-polling")).map(({ state }) => state);
      expect(new Set(states)).toEqual(new Set(["warning"]));
    });
  });
});
