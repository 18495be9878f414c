import { describe, expect, test } from "bun:test";
import { PasswordLogins } from "../../src/redis/auth/logins.ts";
import { findUnreadLoginVariables } from "../../src/redis/auth/read-login.ts";
import type { RedisEnvironment, RedisLogin } from "../../src/redis/options.ts";
import { describeWith } from "../support/common/needs.ts";
import { problemOf, readEnvironment } from "../support/redis/redis-environment.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";

const OAUTH = {
  REDIS_AUTH_MODE: "OAuth",
  REDIS_TLS: "true",
  REDIS_OAUTH_TENANT_ID: "t",
  REDIS_OAUTH_CLIENT_ID: "c",
  REDIS_OAUTH_CLIENT_SECRET: "s3cret",
  REDIS_OAUTH_SCOPE: "x/.default",
};

describe("A Redis password", () => {
  test.each<[string, RedisEnvironment, readonly RedisLogin[]]>([
    ["plain", { REDIS_ENTERPRISE_PASSWORD: "plain" }, [{ password: "plain" }]],
    [
      "of a user",
      { REDIS_ENTERPRISE_USER: "u", REDIS_ENTERPRISE_PASSWORD: "p:1" },
      [{ user: "u", password: "p:1" }],
    ],
    ["missing for a user", { REDIS_ENTERPRISE_USER: "u" }, [{ user: "u", password: "" }]],
    ["percent-encoded", { REDIS_ENTERPRISE_PASSWORD: "a%2Fb" }, [{ password: "a%2Fb" }, { password: "a/b" }]],
    ["with a % that encodes nothing", { REDIS_ENTERPRISE_PASSWORD: "100%" }, [{ password: "100%" }]],
    [
      "of a percent-encoded user",
      { REDIS_ENTERPRISE_USER: "u%40x", REDIS_ENTERPRISE_PASSWORD: "p" },
      [
        { user: "u%40x", password: "p" },
        { user: "u@x", password: "p" },
      ],
    ],
    ["in the form of 1.x", { REDIS_ENTERPRISE_PASSWORD: ":p" }, [{ password: ":p" }, { password: "p" }]],
    [
      "in the form of 1.x with a user",
      { REDIS_ENTERPRISE_PASSWORD: "u:p%3A" },
      [{ password: "u:p%3A" }, { password: "u:p:" }, { user: "u", password: "p:" }],
    ],
    [
      "in the URL, with one meaning",
      { REDIS_URL: "redis://u:a%252Fb@h" },
      [{ user: "u", password: "a%2Fb" }],
    ],
    ["missing", {}, [{}]],
  ])("%s has these meanings in turn", (_, env, meanings) => {
    const logins = new PasswordLogins(readEnvironment(env));
    const tried: (RedisLogin | undefined)[] = [];
    do {
      tried.push(logins.current);
      logins.rejected(logins.current);
    } while (logins.isTrying);
    expect(tried).toEqual([...meanings]);
    // After the last one it begins again.
    expect(logins.current).toEqual(meanings[0] ?? {});
  });

  test("counts as rejected once, however many connections used it", () => {
    const logins = new PasswordLogins(readEnvironment({ REDIS_ENTERPRISE_PASSWORD: "%41" }));
    const first = logins.current;
    for (let times = 0; times < 3; times++) logins.rejected(first);
    expect(logins.current).toEqual({ password: "A" });
  });
});

describe("REDIS_AUTH_MODE", () => {
  test.each([undefined, "", "password", " Password "])("%p is the password", (mode) => {
    const read = readEnvironment({ REDIS_AUTH_MODE: mode, REDIS_ENTERPRISE_PASSWORD: "p" });
    expect(read).toMatchObject({ password: "p" });
    // As in the original, these are read in the other mode only.
    const { REDIS_AUTH_MODE: _, ...others } = OAUTH;
    expect(problemOf({ ...others, REDIS_OAUTH_REFRESH_MARGIN_IN_S: "no number" })).toStartWith("taken:");
  });

  test("oauth reads an app registration, without spaces and line ends", () => {
    const env = {
      ...OAUTH,
      REDIS_OAUTH_CLIENT_SECRET: "s3cret\n",
      REDIS_OAUTH_USERNAME: " object-id ",
      REDIS_OAUTH_REFRESH_MARGIN_IN_S: "300",
      REDIS_OAUTH_AUTHORITY_HOST: "https://login.microsoftonline.us//",
    };
    expect(readEnvironment(env).entra).toEqual({
      authority: "https://login.microsoftonline.us",
      tenantId: "t",
      clientId: "c",
      clientSecret: "s3cret",
      scope: "x/.default",
      user: "object-id",
      refreshMarginMs: 300_000,
    });
    expect(readEnvironment(OAUTH).entra).toEqual({
      authority: "https://login.microsoftonline.com",
      ...{ tenantId: "t", clientId: "c", clientSecret: "s3cret", scope: "x/.default" },
    });
  });

  test("leaves the variables of the other mode unread", () => {
    const password = { REDIS_ENTERPRISE_USER: "u", REDIS_ENTERPRISE_PASSWORD: "p" };
    const env = { ...OAUTH, ...password, REDIS_OAUTH_USERNAME: "" };
    expect(findUnreadLoginVariables(env, readEnvironment(env))).toEqual(Object.keys(password));
    const other = { ...env, REDIS_AUTH_MODE: "" };
    const { REDIS_AUTH_MODE: _, REDIS_TLS: __, ...unread } = OAUTH;
    expect(findUnreadLoginVariables(other, readEnvironment(other))).toEqual(Object.keys(unread));
  });

  test("oauth needs TLS, or the word that something else encrypts", () => {
    for (const word of ["true", "1", "YES"]) {
      expect(
        readEnvironment({ ...OAUTH, REDIS_TLS: "", REDIS_OAUTH_ALLOW_PLAINTEXT: word }).entra,
      ).toBeDefined();
    }
    const byUrl = { ...OAUTH, REDIS_TLS: "", REDIS_URL: "rediss://a" };
    expect(readEnvironment(byUrl).entra).toBeDefined();
  });

  const plaintext =
    "REDIS_AUTH_MODE is oauth without TLS to Redis, so anyone on the network could read the access token (expected REDIS_TLS=true, or REDIS_OAUTH_ALLOW_PLAINTEXT=true if something else encrypts the connection)";
  test.each<[RedisEnvironment, string]>([
    [{ REDIS_AUTH_MODE: "iam" }, 'invalid value "iam" for REDIS_AUTH_MODE (expected password or oauth)'],
    [
      { REDIS_AUTH_MODE: "oauth", REDIS_TLS: "true" },
      "REDIS_AUTH_MODE is oauth without REDIS_OAUTH_TENANT_ID, REDIS_OAUTH_CLIENT_ID, REDIS_OAUTH_CLIENT_SECRET, REDIS_OAUTH_SCOPE (expected all of them)",
    ],
    [
      { ...OAUTH, REDIS_OAUTH_SCOPE: " " },
      "REDIS_AUTH_MODE is oauth without REDIS_OAUTH_SCOPE (expected all of them)",
    ],
    [{ ...OAUTH, REDIS_TLS: "false" }, plaintext],
    [{ ...OAUTH, REDIS_TLS: undefined, REDIS_OAUTH_ALLOW_PLAINTEXT: "no" }, plaintext],
    [
      { ...OAUTH, REDIS_TLS: undefined, REDIS_OAUTH_ALLOW_PLAINTEXT: "maybe" },
      'invalid value "maybe" for REDIS_OAUTH_ALLOW_PLAINTEXT (expected true or false)',
    ],
    [
      { ...OAUTH, REDIS_OAUTH_AUTHORITY_HOST: "http://me:pass@login.example" },
      'invalid value "login.example" for REDIS_OAUTH_AUTHORITY_HOST (expected an https:// URL, because the client secret is sent there)',
    ],
    [
      { ...OAUTH, REDIS_OAUTH_AUTHORITY_HOST: "login.example" },
      'invalid value "login.example" for REDIS_OAUTH_AUTHORITY_HOST (expected an https:// URL, because the client secret is sent there)',
    ],
    ...["59", "0", "-60", "1e3", "60s", "99999999999"].map((margin): [RedisEnvironment, string] => [
      { ...OAUTH, REDIS_OAUTH_REFRESH_MARGIN_IN_S: margin },
      `invalid value "${margin}" for REDIS_OAUTH_REFRESH_MARGIN_IN_S (expected a whole number from 60 to 1000000000)`,
    ]),
  ])("%j is rejected", (env, problem) => {
    expect(problemOf(env)).toBe(problem);
  });
});

describeWith("redis-server", "redis-cli")("Redis", () => {
  test.each<[string, RedisEnvironment, string]>([
    ["as it is", { REDIS_ENTERPRISE_USER: "a%41", REDIS_ENTERPRISE_PASSWORD: "p%2F1" }, "a%41"],
    ["percent-encoded", { REDIS_ENTERPRISE_USER: "b", REDIS_ENTERPRISE_PASSWORD: "p%2F1" }, "b"],
    ["in the form of 1.x", { REDIS_ENTERPRISE_PASSWORD: "c:p%2F1" }, "c"],
    ["not at all, for a user without one", { REDIS_ENTERPRISE_USER: "d" }, "d"],
  ])("accepts a password %s, and no outage is reported meanwhile", async (_, env, user) => {
    await using server = await RedisServer.start({ user: { name: "admin", password: "admin" } });
    await server.cli("ACL", "SETUSER", "a%41", "on", ">p%2F1", "~*", "+@all");
    for (const name of ["b", "c"]) await server.cli("ACL", "SETUSER", name, "on", ">p/1", "~*", "+@all");
    await server.cli("ACL", "SETUSER", "d", "on", "nopass", "~*", "+@all");
    const { address } = server.options;
    await using use = new RedisUse({ ...readEnvironment(env), address });
    expect(await use.connection.send("ACL", ["WHOAMI"])).toBe(user);
    expect(await use.connection.bulk.send("ACL", ["WHOAMI"])).toBe(user);
    expect(use.events).toEqual([]);
  });

  test("that rejects every meaning is reported as an outage, which ends with the right password", async () => {
    await using server = await RedisServer.start();
    await server.cli("ACL", "SETUSER", "u", "on", ">other", "~*", "+@all");
    const env = { REDIS_ENTERPRISE_USER: "u", REDIS_ENTERPRISE_PASSWORD: "%41" };
    await using use = new RedisUse({ ...readEnvironment(env), address: server.options.address });
    await use.untilEmitted("redis_down");
    expect(use.events).toEqual([{ kind: "redis_down", reason: "Redis rejects this user and password" }]);
    await server.cli("ACL", "SETUSER", "u", ">A");
    await use.untilEmitted("redis_up");
    expect(await use.connection.send("ACL", ["WHOAMI"])).toBe("u");
  });
});
