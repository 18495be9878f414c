import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { envOfUser, limitedUser, ORIGINAL_COMMANDS } from "../support/redis/redis-users.ts";
import { TokenAuthority } from "../support/redis/token-authority.ts";
import { expectProblem, problemsOf, type Settings } from "../support/relay/doctor.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});
afterAll(() => upstream[Symbol.asyncDispose]());

describeWith(
  "redis-server",
  "redis-cli",
  "openssl",
)("doctor reports problems of Redis", () => {
  const envOf = (port: number, more: Settings = {}) => ({
    REDIS_ENTERPRISE_HOST: "127.0.0.1",
    REDIS_ENTERPRISE_PORT: String(port),
    ...more,
  });
  const problemsWith = (env: Settings) => problemsOf(upstream, ["--fleet-polling"], env, "redis");

  test("no problem for a correct set-up, and leaves no keys behind", async () => {
    await using redis = await RedisServer.start();
    expect(await problemsWith(envOf(redis.port))).toEqual([]);
    const keys = execFileSync("redis-cli", ["-p", String(redis.port), "dbsize"], { encoding: "utf8" });
    expect(keys.trim()).toBe("0");
  });

  test("Redis is not listening", async () => {
    const problems = problemsWith(envOf(await freePort()));
    await expectProblem(problems, "Redis", /is unusable: connection refused/, /check that Redis runs/);
  });

  test("Redis requires a password", async () => {
    await using redis = await RedisServer.start({ user: { name: "sfp", password: "wonderful" } });
    await expectProblem(problemsWith(envOf(redis.port)), "Redis", /password/, /REDIS_ENTERPRISE_PASSWORD/);
  });

  test("the authority refuses an access token, or Redis does", async () => {
    using pki = new Authority();
    await using authority = new TokenAuthority(pemOf(pki.issue()));
    await using redis = await RedisServer.start({ user: { name: "admin", password: "admin" } });
    const env = envOf(redis.port, {
      ...{ REDIS_AUTH_MODE: "oauth", REDIS_OAUTH_ALLOW_PLAINTEXT: "true", REDIS_OAUTH_USERNAME: "relay" },
      ...{ REDIS_OAUTH_TENANT_ID: "t", REDIS_OAUTH_CLIENT_ID: "c", REDIS_OAUTH_SCOPE: "s" },
      ...{ REDIS_OAUTH_CLIENT_SECRET: "wrong", REDIS_OAUTH_AUTHORITY_HOST: authority.url },
      NODE_EXTRA_CA_CERTS: pki.caPath,
    });
    authority.answer = { kind: "answer", status: 401, body: `{"error":"invalid_client"}` };
    await expectProblem(problemsWith(env), "Redis", /no access token .*401: invalid_client/, /REDIS_OAUTH_/);
    authority.answer = { kind: "token", lifeS: 3_600 };
    await expectProblem(problemsWith(env), "Redis", /is unusable: .*user and password/, /REDIS_/);
    authority.onToken = async (token) => {
      await redis.cli("ACL", "SETUSER", "relay", "on", `>${token}`, "~*", "&*", "+@all");
    };
    expect(await problemsWith(env)).toEqual([]);
  });

  test("the user has no permission to write", async () => {
    const config = ["user reader on >pass ~* &* +@read +@connection", "user default on nopass ~* &* +@all"];
    await using redis = await RedisServer.start({ config });
    const env = envOf(redis.port, { REDIS_ENTERPRISE_USER: "reader", REDIS_ENTERPRISE_PASSWORD: "pass" });
    await expectProblem(
      problemsWith(env),
      "Redis",
      /entries cannot be .*may not run WATCH/,
      /^ACL SETUSER reader \+@read/,
    );
  });

  const FULL = "~* &* +@all";
  const CHANNELS = "&statsig_forward_proxy::*";

  test.each<readonly [rules: string, missing: readonly string[]]>([
    ["~* &* +@all -subscribe", ["+subscribe"]],
    ["~* &* +@all -publish", ["+publish"]],
    ["~* resetchannels +@all", [CHANNELS]],
    ["~* &* +@all -eval", ["+eval"]],
    ["~* &* +@all -evalsha", ["+evalsha"]],
    ["~* &* +@all -set -pttl -type", ["+set", "+pttl", "+type"]],
    ["~statsig|* &* +@all", ["~statsig_forward_proxy::*"]],
    [
      ORIGINAL_COMMANDS,
      [..."+hmget +hstrlen +set +pttl +type +evalsha +eval +subscribe +publish".split(" ")],
    ],
  ])("rights that a fleet needs, each with the rule that grants it: %s", async (rules, missing) => {
    await using redis = await RedisServer.start();
    const user = await limitedUser(redis, rules);
    const problems = await problemsWith(envOfUser(user));
    const granting = problems.flatMap(({ detail, fix = "" }) => {
      const [, permission] = /^the Redis user lacks the permission (\S+): \w/.exec(detail) ?? [];
      const [command = "", also] = fix.split("; unless it has allchannels, also ");
      if (permission === undefined) return [];
      return [{ permission, command: [...command.split(" "), ...(also === undefined ? [] : [also])] }];
    });
    expect(granting.map(({ permission }) => permission).toSorted()).toEqual(missing.toSorted());
    for (const { permission, command } of granting) {
      expect(command.slice(0, 4)).toEqual(["ACL", "SETUSER", "limited", permission]);
      await redis.cli(...command);
    }
    // The commands are right: after them, nothing is missing.
    expect(await problemsWith(envOfUser(user))).toEqual([]);
    expect(await redis.cli("DBSIZE")).toBe("0");
  });

  test("rights of a Cluster, whose channels are sharded", async () => {
    await using cluster = await RedisCluster.start();
    const nodes = cluster.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const env = { REDIS_CLUSTER_NODES: nodes, REDIS_ENTERPRISE_USER: "u", REDIS_ENTERPRISE_PASSWORD: "p" };
    const grant = async (rules: string) => {
      for (const node of cluster.nodes)
        await node.cli("ACL", "SETUSER", "u", "on", ">p", ...rules.split(" "));
    };
    await grant(`${FULL} -ssubscribe -spublish`);
    const fixes = (await problemsWith(env)).map(({ fix }) => fix);
    for (const command of ["+ssubscribe", "+spublish"])
      expect(fixes).toContain(`ACL SETUSER u ${command}; unless it has allchannels, also ${CHANNELS}`);
    await grant(FULL);
    expect(await problemsWith(env)).toEqual([]);
  }, 90_000);

  test("Redis is a replica", async () => {
    await using primary = await RedisServer.start();
    await using replica = await RedisServer.start({ replicaOf: primary.port });
    await expectProblem(problemsWith(envOf(replica.port)), "Redis", /read-only/, /primary/);
  });
});
