import { afterAll, beforeAll, describe, expect } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { type DropInRow, testRows } from "../support/drop-in/row.ts";
import { createRedisCertificates, type RedisCertificates } from "../support/redis/redis-certificates.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { TokenAuthority } from "../support/redis/token-authority.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { type RelayProcess, runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { LOGIN_ROWS, type LoginRow, OTHER_ROWS, REFUSED_ROWS, type RefusedRow } from "./redis-auth.rows.ts";

const WAIT = { withinMs: 15_000, everyMs: 100 };
const ADMIN = { name: "admin", password: "admin" };

const startRelay = (redis: RedisServer, env: Readonly<Record<string, string>>): Promise<RelayProcess> =>
  startRelayProcess({
    mode: "http",
    cache: "redis",
    env: {
      STATSIG_ENDPOINT: "http://127.0.0.1:1",
      REDIS_ENTERPRISE_HOST: "127.0.0.1",
      REDIS_ENTERPRISE_PORT: String(redis.port),
      ...env,
    },
  });

/** The connections of relays, by the user that they log in as. */
async function connectionsOf(redis: RedisServer, user: string): Promise<number> {
  const list = await redis.cli("CLIENT", "LIST");
  return list.split("\n").filter((line) => line.includes(` user=${user} `) && line.includes("name=statsig"))
    .length;
}

/** Passes the rest of the checks, which are async functions by the name of the row. */
const testRow = (row: DropInRow, check: () => Promise<void>): void => testRows([row], check);

const refusals = new Map<string, Awaited<ReturnType<typeof runRelay>>>();

describe("Redis variables that are refused", () => {
  beforeAll(async () => {
    for (const { name, env } of REFUSED_ROWS) refusals.set(name, await runRelay(["http", "redis"], env));
  }, 120_000);

  testRows(REFUSED_ROWS, ({ name, names }: RefusedRow) => {
    const { exitCode, stderr } = refusals.get(name) ?? { exitCode: -1, stderr: "" };
    expect(exitCode).toBe(2);
    for (const each of names) expect(stderr).toContain(each);
    expect(stderr).not.toContain("s3cret");
  });
});

describeWith(
  "redis-server",
  "redis-cli",
  "openssl",
)("Redis logins", () => {
  let redis: RedisServer;
  const relays = new AsyncDisposableStack();
  const running = new Map<string, RelayProcess>();

  beforeAll(async () => {
    redis = relays.use(await RedisServer.start({ user: ADMIN }));
    for (const { user, password } of LOGIN_ROWS) {
      if (user === undefined) continue;
      const rule = password ? `>${password}` : "nopass";
      await redis.cli("ACL", "SETUSER", user, "on", rule, "~*", "&*", "+@all");
    }
    for (const { name, env } of LOGIN_ROWS) running.set(name, relays.use(await startRelay(redis, env)));
  }, 120_000);
  afterAll(() => relays.disposeAsync());

  testRows(LOGIN_ROWS, async ({ name, user = "", says }: LoginRow) => {
    await eventually(async () => expect(await connectionsOf(redis, user)).toBe(2), WAIT);
    const log = running.get(name)?.output() ?? "";
    expect(log).not.toContain("Redis unavailable");
    if (says !== undefined) expect(log).toContain(says);
  });

  testRow(OTHER_ROWS.rejected, async () => {
    await redis.cli("ACL", "SETUSER", "late", "on", ">other", "~*", "&*", "+@all");
    await using relay = await startRelay(redis, OTHER_ROWS.rejected.env);
    await eventually(() => expect(relay.output()).toContain("Redis rejects this user and password"), WAIT);
    expect((await fetch(`${relay.httpUrl}/v1/health`)).status).toBe(200);
    await redis.cli("ACL", "SETUSER", "late", ">p");
    await eventually(async () => expect(await connectionsOf(redis, "late")).toBe(2), WAIT);
  });

  testRow(OTHER_ROWS.default, async () => {
    await redis.cli("ACL", "SETUSER", "default", "on", "resetpass", ">of-default", "~*", "&*", "+@all");
    await using relay = await startRelay(redis, OTHER_ROWS.default.env);
    await eventually(async () => expect(await connectionsOf(redis, "default")).toBe(2), WAIT);
    expect(relay.output()).not.toContain("Redis unavailable");
  });

  testRow(OTHER_ROWS.none, async () => {
    await using open = await RedisServer.start();
    await using _ = await startRelay(open, OTHER_ROWS.none.env);
    await eventually(async () => expect(await connectionsOf(open, "default")).toBe(2), WAIT);
    expect(await open.cli("INFO", "commandstats")).not.toContain("cmdstat_auth");
  });

  testRow(OTHER_ROWS.minimum, async () => {
    await using open = await RedisServer.start();
    await using _ = await startRelay(open, OTHER_ROWS.minimum.env);
    await eventually(async () => expect(await connectionsOf(open, "default")).toBe(5), WAIT);
  });

  testRow(OTHER_ROWS.address, async () => {
    const relay = await startRelayProcess({ mode: "http", cache: "redis" });
    await using _ = relay;
    expect(relay.output()).toContain("redis=127.0.0.1:6379/0");
  });
});

describeWith(
  "redis-server",
  "redis-cli",
  "openssl",
)("Redis over TLS and with access tokens", () => {
  let certificates: RedisCertificates;
  let pki: Authority;
  let authority: TokenAuthority;
  let redis: RedisServer;
  const owned = new AsyncDisposableStack();

  beforeAll(async () => {
    certificates = owned.use(createRedisCertificates());
    pki = owned.use(new Authority());
    authority = owned.use(new TokenAuthority(pemOf(pki.issue())));
    const tls = {
      ...certificates,
      configLines: [...certificates.configLines.slice(0, 3), "tls-auth-clients no"],
    };
    redis = owned.use(await RedisServer.start({ tls, user: ADMIN }));
    authority.onToken = async (token) => {
      for (const user of ["default", "object-id"])
        await redis.cli("ACL", "SETUSER", user, "on", "resetpass", `>${token}`, "~*", "&*", "+@all");
    };
  }, 30_000);
  afterAll(() => owned.disposeAsync());

  /** Trusts the authority of tokens, and that of Redis by its own variable. */
  const withTokens = (env: Readonly<Record<string, string>>) =>
    startRelay(redis, {
      ...env,
      NODE_EXTRA_CA_CERTS: pki.caPath,
      REDIS_OAUTH_AUTHORITY_HOST: `${authority.url}/`,
      ...(env["REDIS_TLS"] === "true" && { REDIS_TLS_CA_PATH: certificates.client.caPath ?? "" }),
    });

  testRow(OTHER_ROWS.untrusted, async () => {
    await using relay = await startRelay(redis, OTHER_ROWS.untrusted.env);
    await eventually(
      () => expect(relay.output()).toMatch(/Redis unavailable.*reason=.*(SELF_SIGNED|UNABLE_TO)/),
      WAIT,
    );
    expect((await fetch(`${relay.httpUrl}/v1/health`)).status).toBe(200);
  });

  testRow(OTHER_ROWS.authority, async () => {
    const { caPath = "" } = certificates.client;
    const login = { REDIS_ENTERPRISE_USER: ADMIN.name, REDIS_ENTERPRISE_PASSWORD: ADMIN.password };
    const env = { ...OTHER_ROWS.authority.env, ...login, NODE_EXTRA_CA_CERTS: caPath };
    await using _ = await startRelay(redis, env);
    await eventually(async () => expect(await connectionsOf(redis, ADMIN.name)).toBe(2), WAIT);
  });

  testRow(OTHER_ROWS.request, async () => {
    await using _ = await withTokens(OTHER_ROWS.request.env);
    await eventually(() => expect(authority.requests).not.toEqual([]), WAIT);
    expect(authority.requests.at(-1)).toEqual({
      method: "POST",
      path: "/tenant/oauth2/v2.0/token",
      type: expect.stringContaining("application/x-www-form-urlencoded"),
      form: {
        grant_type: "client_credentials",
        client_id: "client",
        client_secret: "s3cret-of-the-client",
        scope: "api://redis/.default",
      },
    });
  });

  testRow(OTHER_ROWS.token, async () => {
    await using relay = await withTokens(OTHER_ROWS.token.env);
    await eventually(async () => expect(await connectionsOf(redis, "default")).toBe(2), WAIT);
    expect(relay.output()).not.toContain("Redis unavailable");
  });

  testRow(OTHER_ROWS.named, async () => {
    await using _ = await withTokens(OTHER_ROWS.named.env);
    await eventually(async () => expect(await connectionsOf(redis, "object-id")).toBe(2), WAIT);
  });

  testRow(OTHER_ROWS.plaintext, async () => {
    await using open = await RedisServer.start({ user: ADMIN });
    using restored = new DisposableStack();
    const { onToken } = authority;
    restored.defer(() => {
      authority.onToken = onToken;
    });
    authority.onToken = async (token) => {
      await open.cli("ACL", "SETUSER", "default", "on", `>${token}`, "~*", "+@all");
    };
    await using relay = await startRelay(open, {
      ...OTHER_ROWS.plaintext.env,
      NODE_EXTRA_CA_CERTS: pki.caPath,
      REDIS_OAUTH_AUTHORITY_HOST: authority.url,
    });
    await eventually(async () => expect(await connectionsOf(open, "default")).toBe(2), WAIT);
    await eventually(
      () => expect(relay.output()).toContain("access tokens for Redis are sent without TLS"),
      WAIT,
    );
  });

  testRow(OTHER_ROWS.outage, async () => {
    authority.answer = { kind: "answer", status: 503, body: "{}" };
    await using relay = await withTokens(OTHER_ROWS.outage.env);
    await eventually(() => expect(relay.output()).toContain("the authority answered 503"), WAIT);
    expect((await fetch(`${relay.httpUrl}/v1/health`)).status).toBe(200);
    expect(await connectionsOf(redis, "default")).toBe(0);
    authority.answer = { kind: "token", lifeS: 3_600 };
    await eventually(async () => expect(await connectionsOf(redis, "default")).toBe(2), WAIT);
    await eventually(() => expect(relay.output()).toContain("access token for Redis renewed again"), WAIT);
  });

  testRow(OTHER_ROWS.secrets, async () => {
    const secret = "s3cret-of-the-client";
    const refusal = { error: "invalid_client", error_description: `AADSTS7000215: ${secret} is invalid` };
    authority.answer = { kind: "answer", status: 401, body: JSON.stringify(refusal) };
    await using relay = await withTokens({ ...OTHER_ROWS.secrets.env, SFP_DEBUG_LOGGING: "true" });
    await eventually(() => expect(relay.output()).toContain("401: invalid_client, AADSTS7000215"), WAIT);
    authority.answer = { kind: "token", lifeS: 3_600 };
    await eventually(async () => expect(await connectionsOf(redis, "default")).toBe(2), WAIT);
    for (const each of [secret, ...authority.tokens]) expect(relay.output()).not.toContain(each);
  });
});
