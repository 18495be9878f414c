import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { maskSdkKey, type SdkKey } from "../../src/access/sdk-key.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { TokenAuthority } from "../support/redis/token-authority.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { type RelayProcess, runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { SIGNATURE, startTalkativeUpstream } from "../support/relay/secret-keys.ts";
import {
  createSecretPlace,
  MALFORMED,
  PASSPHRASE,
  PASSWORD,
  random,
  type SecretPlace,
} from "../support/relay/secret-place.ts";
import { askByGrpc, askByHttp, logEvents } from "../support/relay/secret-requests.ts";
import { SecretSearch } from "../support/relay/secret-search.ts";
import { BlobStorageServer } from "../support/upstream/blob-storage.ts";

/** Sends every kind of request and waits until the log contains the masked keys. */
async function exercise(
  relay: RelayProcess,
  { keys, search, allowedFile, caPath }: SecretPlace,
): Promise<void> {
  const all = [...Object.values(keys), `${MALFORMED}!`];
  for (const protocol of ["http", "https"]) await askByHttp(relay.urlOf(protocol), all, search);
  const tls = credentials.createSsl(readFileSync(caPath));
  await askByGrpc(relay.grpcUrl, all, search);
  await askByGrpc(relay.urlOf("grpcs"), [keys.held, keys.denied], search, tls);
  for (const key of [keys.waiting, keys.dropped]) {
    expect(await logEvents(relay.httpUrl, key, search)).toBe(202);
  }
  await eventually(() => {
    const { waiting: _, stranger: __, ...logged } = keys;
    for (const key of Object.values(logged)) expect(relay.output()).toContain(maskSdkKey(key as SdkKey));
  });
  await writeFile(allowedFile, `${MALFORMED}!`);
  await eventually(() => expect(relay.output()).toContain("invalid list of allowed SDK keys"));
  await lookAtManagement(relay.urlOf("management"), keys.preloaded, search);
}

/** Requests all pages of the management port, which show masked keys. */
async function lookAtManagement(url: string, shownKey: string, search: SecretSearch): Promise<void> {
  for (const path of ["/", "/status.json", "/metrics", "/readyz", "/healthz", "/unknown"]) {
    await search.lookAt(`${path} of the management port`, await fetch(`${url}${path}`));
  }
  const shown = await (await fetch(`${url}/status.json`)).text();
  expect(shown).toContain(maskSdkKey(shownKey as SdkKey));
}

/** Checks that only the owner can read the spool, which contains the SDK keys of waiting events and no others. */
async function checkSpool({ spool, keys, search }: SecretPlace): Promise<void> {
  const names = await readdir(spool);
  expect(names).toContain("events.sqlite");
  expect((await stat(spool)).mode & 0o777).toBe(0o700);
  const contents = await Promise.all(
    names.map(async (name) => {
      search.look("the name of a file of the spool", name);
      const path = join(spool, name);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      return await readFile(path);
    }),
  );
  const held = Buffer.concat(contents);
  expect(held.includes(keys.waiting)).toBe(true);
  const { waiting: _, dropped: __, ...others } = keys;
  const inSpool = new SecretSearch({ ...others, PASSWORD, PASSPHRASE, MALFORMED });
  inSpool.look("the spool", held);
  expect(inSpool.found).toEqual([]);
}

/** Starts, uses and stops a relay, then searches its files. With `redisUrl` its cache is Redis. */
async function run(place: SecretPlace, redisUrl?: string): Promise<void> {
  const { search, args, spool, backup } = place;
  await using upstream = await startTalkativeUpstream(place.keys);
  // It has no blob, so upstream is asked as well.
  await using storage = new BlobStorageServer();
  await using relay = await startRelayProcess({
    upstream,
    cache: redisUrl === undefined ? "local" : "redis",
    args: [...args, "--management-port", String(await freePort())],
    env: {
      LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
      SFP_X509_SERVER_KEY_PASSPHRASE: PASSPHRASE,
      ...storage.env,
      SFP_STARTUP_WARMUP_KEYS_JSON: JSON.stringify([
        { sdk_key: place.keys.held, path: "/v1/get_id_lists" },
        { sdk_key: place.keys.stranger, path: "/v1/unknown" },
      ]),
      ...(redisUrl !== undefined && { REDIS_URL: redisUrl }),
    },
  });
  await exercise(relay, place);
  expect(await relay.stop()).toBe(0);
  search.look("the output", relay.output());
  expect(storage.queries).not.toBeEmpty();
  for (const query of storage.queries) expect(relay.output()).not.toContain(query.get("sig") ?? "");
  // The signature is part of the manifest in the backup.
  expect(relay.output()).not.toContain(SIGNATURE);
  expect(await search.lookInto("the local backup", backup)).toBeGreaterThan(0);
  await checkSpool({ ...place, spool });
}

describeWith("openssl")("a relay never shows a whole SDK key, password or private key", () => {
  let authority: Authority;
  let place: SecretPlace;
  beforeAll(() => {
    authority = new Authority();
  });
  afterAll(() => authority[Symbol.dispose]());
  beforeEach(async () => {
    place = await createSecretPlace(authority);
  });
  afterEach(() => rm(place.folder, { recursive: true, force: true }));

  test("with the local backup", async () => {
    await run(place);
    expect(place.search.found).toEqual([]);
  });

  describeWith("redis-server", "redis-cli")("with Redis", () => {
    test("in the keys and values of Redis", async () => {
      const user = { name: "relay", password: PASSWORD };
      await using redis = await RedisServer.start({ user, config: ["rdbcompression no"] });
      const schemas = ["--redis-key-schema", "v3,v4,v1", "--double-write-cache-for-legacy-key"];
      const url = `redis://relay:${PASSWORD}@127.0.0.1:${redis.port}`;
      await run({ ...place, args: [...place.args, ...schemas] }, url);
      const [, folder = ""] = (await redis.cli("CONFIG", "GET", "dir")).split("\n");
      await redis.cli("SAVE");
      const dump = await readFile(join(folder, "dump.rdb"));
      expect(dump.includes("download_config_specs")).toBe(true);
      place.search.look("Redis", dump);
      expect(place.search.found).toEqual([]);
    });

    test("with access tokens, also while the authority repeats the client secret", async () => {
      await using tokens = new TokenAuthority(pemOf(authority.issue()));
      await using redis = await RedisServer.start({ user: { name: "admin", password: random("right") } });
      tokens.onToken = async (token) => {
        await redis.cli("ACL", "SETUSER", "relay", "on", `>${token}`, "~*", "+@all");
      };
      const says = {
        error: "invalid_client",
        error_description: `AADSTS7000215: ${PASSWORD}`,
        access_token: PASSWORD,
      };
      tokens.answer = { kind: "answer", status: 401, body: JSON.stringify(says) };
      await using upstream = await startTalkativeUpstream(place.keys);
      const env = {
        ...{ REDIS_AUTH_MODE: "oauth", REDIS_OAUTH_ALLOW_PLAINTEXT: "true", REDIS_OAUTH_USERNAME: "relay" },
        ...{ REDIS_OAUTH_TENANT_ID: "tenant", REDIS_OAUTH_CLIENT_ID: "client", REDIS_OAUTH_SCOPE: "scope" },
        ...{ REDIS_OAUTH_CLIENT_SECRET: PASSWORD, REDIS_OAUTH_AUTHORITY_HOST: tokens.url },
        ...{ REDIS_URL: `redis://127.0.0.1:${redis.port}`, NODE_EXTRA_CA_CERTS: authority.caPath },
      };
      const args = ["--debug-logging", "--management-port", String(await freePort())];
      await using relay = await startRelayProcess({ upstream, cache: "redis", args, env });
      await eventually(() => expect(relay.output()).toContain("AADSTS7000215"));
      const pages = ["/", "/status.json", "/metrics"];
      for (const page of pages)
        await place.search.lookAt(page, await fetch(relay.urlOf("management") + page));
      const status = await (await fetch(`${relay.urlOf("management")}/status.json`)).text();
      expect(status).toContain("The access token for Redis could not be renewed");
      tokens.answer = { kind: "token", lifeS: 3_600 };
      await eventually(() => expect(relay.output()).toContain("access token for Redis renewed again"));
      expect(await relay.stop()).toBe(0);
      const search = new SecretSearch({ PASSWORD, token: tokens.tokens[0] ?? "" });
      search.look("the output", relay.output());
      expect([...search.found, ...place.search.found]).toEqual([]);
    });

    test("if the password is wrong", async () => {
      await using redis = await RedisServer.start({ user: { name: "relay", password: random("right") } });
      await using upstream = await startTalkativeUpstream(place.keys);
      const env = { REDIS_URL: `redis://relay:${PASSWORD}@127.0.0.1:${redis.port}` };
      await using relay = await startRelayProcess({ upstream, cache: "redis", env });
      await eventually(() => expect(relay.output()).toContain("password"));
      place.search.look("the output", relay.output());
      expect(place.search.found).toEqual([]);
    });
  });

  test.each<[string, (place: SecretPlace) => readonly string[], Record<string, string>]>([
    ["a key in the place of MODE", ({ keys }) => [keys.held, "local"], {}],
    ["a list with a space", ({ keys }) => ["--preload-sdk-keys", "a,", "http", keys.held, "local"], {}],
    ["a key in the place of a number", ({ keys }) => ["-m", keys.held, "http", "local"], {}],
    [
      "a key with an invalid character",
      ({ keys }) => ["--preload-sdk-keys", `${keys.held}!`, "http", "local"],
      {},
    ],
    ["a URL with a password", () => ["http", "local"], { STATSIG_ENDPOINT: `ftp://me:${PASSWORD}@a` }],
    ["a Redis URL with a password", () => ["http", "redis"], { REDIS_URL: `http://me:${PASSWORD}@a` }],
    [
      "a client secret of Entra ID",
      () => ["http", "redis"],
      { REDIS_AUTH_MODE: "oauth", REDIS_OAUTH_CLIENT_SECRET: PASSWORD },
    ],
    [
      "an authority with a password",
      () => ["http", "redis"],
      {
        ...{
          REDIS_AUTH_MODE: "oauth",
          REDIS_TLS: "true",
          REDIS_OAUTH_AUTHORITY_HOST: `http://me:${PASSWORD}@a`,
        },
        ...{ REDIS_OAUTH_TENANT_ID: "t", REDIS_OAUTH_CLIENT_ID: "c", REDIS_OAUTH_SCOPE: "s" },
        REDIS_OAUTH_CLIENT_SECRET: PASSWORD,
      },
    ],
    ["a passphrase", ({ args }) => [...args, "http", "local"], { SFP_X509_SERVER_KEY_PASSPHRASE: PASSWORD }],
  ])("in the error for %s", async (_, argsIn, env) => {
    const { exitCode, stdout, stderr } = await runRelay(argsIn(place), env);
    expect(exitCode).toBeGreaterThan(0);
    expect(stderr).toMatch(/^error: .+\n$/);
    place.search.look("the output", stdout + stderr);
    expect(place.search.found).toEqual([]);
  });
});
