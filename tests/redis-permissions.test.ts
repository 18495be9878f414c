import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { systemClock } from "../src/clock.ts";
import { RedisNotices } from "../src/redis/redis-notices.ts";
import { ask } from "./support/backed-up-relay.ts";
import { problemsOf as doctorProblems, expectProblem } from "./support/doctor.ts";
import { startManagedRelay } from "./support/managed-relay.ts";
import { describeWith } from "./support/needs.ts";
import { preparedSnapshot } from "./support/prepared-snapshots.ts";
import { publishKey } from "./support/published-key.ts";
import { textOf } from "./support/raw-get.ts";
import { RedisServer } from "./support/redis-server.ts";
import { envOfUser, limitedUser, ORIGINAL_COMMANDS } from "./support/redis-users.ts";
import { RedisUse } from "./support/redis-uses.ts";
import { startRelayProcess } from "./support/relay-process.ts";
import { feedOf } from "./support/snapshots.ts";
import { problemsOf, reported } from "./support/status-report.ts";
import { strictSupervisor } from "./support/supervisors.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";
import { eventually } from "./support/wait.ts";

const ALL = "~* &* +@all";
const feed = feedOf("secret-of-a-limited-user");

const missingIn = (use: RedisUse): readonly string[] =>
  use.events.flatMap((event) => (event.kind === "redis_permission_missing" ? event.permission : []));

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
    ["without EVALSHA", `${ALL} -evalsha`, ["+evalsha"]],
    ["without EVAL", `${ALL} -evalsha -eval`, ["+evalsha", "+eval"]],
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

  test("that may not use the channel is told so once, and hears when it may", async () => {
    const options = await limitedUser(server, "~* resetchannels +@all", "deaf");
    await using use = new RedisUse(options);
    await using notices = new RedisNotices(use.connection, systemClock, strictSupervisor());
    notices.listen(() => {});
    await use.told("redis_permission_missing");
    await expect(notices.publish("digest", 1)).rejects.toThrow("the Redis user may not use this channel");
    expect(missingIn(use)).toEqual(["&statsig_forward_proxy::*"]);
    expect(notices.isListening).toBe(false);
  });

  test("that is given a permission is seen to have it after the next connect", async () => {
    await using use = new RedisUse(await limitedUser(server, `${ALL} -eval -evalsha`, "given"));
    const backup = use.backup();
    await backup.write(await preparedSnapshot(feed, 1));
    expect(missingIn(use)).toEqual(["+evalsha", "+eval"]);
    await limitedUser(server, `${ALL}`, "given");
    await server.cli("CLIENT", "KILL", "USER", "given");
    await use.told("redis_up");
    await backup.write(await preparedSnapshot(feed, 2));
    expect(use.kinds("redis_permission_given")).toHaveLength(1);
    expect(use.connection.permissions.missing.map(({ permission }) => permission)).toEqual(["+eval"]);
  });

  test("that may use other keys alone is told which are missing", async () => {
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
        const output = relay.output();
        expect(output).not.toContain("Skipping the ready check");
        const lines = output.split("\n").filter((line) => line.includes("lacks a permission"));
        if (rules !== ORIGINAL_COMMANDS) expect(lines).toEqual([]);
        else expect(lines.filter((line) => line.includes("+eval "))).toHaveLength(1);
      }
      const served = publishKey(upstream, sdkKey, 1);
      await upstream.stop();
      await using relay = await start();
      expect(textOf(await ask(relay, sdkKey))).toBe(served.v2);
      await upstream.restart();
    },
    30_000,
  );

  test("that lacks permissions is a problem of the status page, which ends with it", async () => {
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

  describe("is told by doctor what it lacks", () => {
    const run = async (rules: string, ...args: string[]) => {
      const env = envOfUser(await limitedUser(server, `${rules}`, "doctor"));
      return doctorProblems(upstream, args, env, "redis");
    };
    const detailsOf = async (rules: string, ...args: string[]) =>
      (await run(rules, ...args)).map(({ state, detail }) => `${state}: ${detail.split(":")[0]}`);

    test("nothing, with all that is needed, and nothing is left behind", async () => {
      expect(await detailsOf(`${ALL} -info -script`, "--fleet-polling", "--redis-key-schema", "v4")).toEqual(
        [],
      );
      expect(await server.cli("DBSIZE")).toBe("0");
    });

    test.each([
      ["-evalsha -eval", ["+evalsha", "+eval"]],
      ["-hmget", ["+hmget"]],
      ["-setnx", ["+setnx"]],
    ])("one finding for each that is missing: %s", async (rules, missing) => {
      const found = await detailsOf(`${ALL} ${rules}`);
      const lacks = missing.map((permission) => `warning: the Redis user lacks the permission ${permission}`);
      expect(found).toEqual(expect.arrayContaining(lacks));
      expect(found.filter((detail) => detail.includes("lacks"))).toHaveLength(missing.length);
      expect(await server.cli("DBSIZE")).toBe("0");
    });

    test("the channel, and how to give it", async () => {
      const problems = await run("~* resetchannels +@all", "--fleet-polling");
      expect(problems.every(({ state }) => state === "warning")).toBe(true);
      const [lacks] = problems.filter(({ detail }) => detail.includes("lacks"));
      expect(lacks?.detail).toContain("&statsig_forward_proxy::*");
      expect(lacks?.mend).toBe("ACL SETUSER doctor &statsig_forward_proxy::*");
    });

    test("that nothing can be written, as a failure", async () => {
      const problems = run("~* &* +@read +@connection");
      await expectProblem(problems, "Redis", /entries can't be .*may not run/, /ACL SETUSER/);
      expect((await problems)[0]?.state).toBe("failed");
    });

    test("the commands of the original relay will do", async () => {
      const states = (await run(ORIGINAL_COMMANDS, "--fleet-polling")).map(({ state }) => state);
      expect(new Set(states)).toEqual(new Set(["warning"]));
    });
  });
});
