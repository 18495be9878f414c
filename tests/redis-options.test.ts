import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { RedisEnvironment } from "../src/redis/environment.ts";
import type { RedisOptions } from "../src/redis/options.ts";
import { readRedisOptions } from "../src/redis/read-options.ts";

class Refused extends Error {}

function read(env: RedisEnvironment): RedisOptions {
  return readRedisOptions(env, (problem) => {
    throw new Refused(problem);
  });
}

function problemOf(env: RedisEnvironment): string {
  try {
    return `taken: ${JSON.stringify(read(env))}`;
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}

const folder = mkdtempSync(join(tmpdir(), "sfp-redis-options-"));
afterAll(() => rmSync(folder, { recursive: true }));
const pem = join(folder, "a.pem");
writeFileSync(pem, "-----BEGIN CERTIFICATE-----\n");
const noPem = join(folder, "b.pem");
writeFileSync(noPem, "text");

describe("The Redis environment", () => {
  test("that is empty means a Redis on this machine, by one connection", () => {
    const expected = {
      address: { kind: "single", host: "127.0.0.1", port: 6379, db: 0 },
      pool: { min: 1, max: 1 },
      connectTimeoutMs: 5_000,
      commandTimeoutMs: 3_000,
    } as const;
    expect(read({})).toEqual(expected);
    expect(read({ REDIS_URL: "", REDIS_TLS: "", REDIS_SENTINELS: "", REDIS_ENTERPRISE_HOST: "" })).toEqual(
      expected,
    );
  });

  test("may name host, port, user, password and pool", () => {
    const env = {
      REDIS_ENTERPRISE_HOST: "redis.example",
      REDIS_ENTERPRISE_PORT: "10000",
      REDIS_ENTERPRISE_USER: "relay",
      REDIS_ENTERPRISE_PASSWORD: "%41 :@/",
      REDIS_CONNECTION_POOL_MIN_SIZE: "2",
      REDIS_CONNECTION_POOL_MAX_SIZE: "8",
    };
    expect(read(env)).toMatchObject({
      address: { kind: "single", host: "redis.example", port: 10_000 },
      user: "relay",
      password: "%41 :@/",
      pool: { min: 2, max: 8 },
    });
    expect(read({ REDIS_CONNECTION_POOL_MIN_SIZE: "4" }).pool).toEqual({ min: 4, max: 4 });
  });

  test.each([
    ["redis://a", { host: "a", port: 6379, db: 0 }, {}],
    ["redis://a:1/2", { host: "a", port: 1, db: 2 }, {}],
    ["redis://a/", { host: "a", port: 6379, db: 0 }, {}],
    ["rediss://u:p@a:1", { host: "a", port: 1, db: 0 }, { user: "u", password: "p", tls: {} }],
    ["redis://:p@[::1]:7", { host: "::1", port: 7, db: 0 }, { password: "p" }],
    ["REDIS://:p:q@a", { host: "a", port: 6379, db: 0 }, { password: "p:q" }],
    ["redis://u%40x:%2F%3F%23%25@a", { host: "a", port: 6379, db: 0 }, { user: "u@x", password: "/?#%" }],
    ["redis://:a@b@c", { host: "c", port: 6379, db: 0 }, { password: "a@b" }],
  ])("may be the URL %s", (url, address, others) => {
    const { address: found, user, password, tls } = read({ REDIS_URL: url });
    expect(found).toEqual({ kind: "single", ...address });
    expect({ ...(user && { user }), ...(password && { password }), ...(tls && { tls }) }).toEqual(others);
  });

  test("takes any password, in its variable as it is and in the URL percent-encoded", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (password) => {
        expect(read({ REDIS_ENTERPRISE_PASSWORD: password }).password).toBe(password);
        expect(read({ REDIS_URL: `redis://u:${encodeURIComponent(password)}@a` }).password).toBe(password);
      }),
    );
  });

  test("may name Sentinels, or nodes of a Cluster", () => {
    expect(read({ REDIS_SENTINELS: "a, b:1,[::1]:2", REDIS_SENTINEL_MASTER: "m" }).address).toEqual({
      kind: "sentinel",
      sentinels: [
        { host: "a", port: 26_379 },
        { host: "b", port: 1 },
        { host: "::1", port: 2 },
      ],
      master: "m",
    });
    expect(read({ REDIS_CLUSTER_NODES: "a:1,b" }).address).toEqual({
      kind: "cluster",
      nodes: [
        { host: "a", port: 1 },
        { host: "b", port: 6379 },
      ],
    });
  });

  test("may ask for TLS, with files that can be read", () => {
    expect(read({ REDIS_TLS: "true" }).tls).toEqual({});
    expect(read({ REDIS_TLS: "0" }).tls).toBeUndefined();
    const paths = { REDIS_TLS_CA_PATH: pem, REDIS_TLS_CERT_PATH: pem, REDIS_TLS_KEY_PATH: pem };
    const expected = { caPath: pem, certPath: pem, keyPath: pem };
    expect(read({ REDIS_TLS: "1", ...paths }).tls).toEqual(expected);
    expect(read({ REDIS_URL: "rediss://a", ...paths }).tls).toEqual(expected);
  });
});

describe("A Redis environment that can't be meant", () => {
  const numbers = "allowed is a whole number from";
  test.each<[RedisEnvironment, string]>([
    [{ REDIS_ENTERPRISE_PORT: "0" }, `REDIS_ENTERPRISE_PORT is "0", ${numbers} 1 to 65535`],
    [{ REDIS_ENTERPRISE_PORT: "1e3" }, `REDIS_ENTERPRISE_PORT is "1e3", ${numbers} 1 to 65535`],
    [
      { REDIS_ENTERPRISE_HOST: "redis://a" },
      'REDIS_ENTERPRISE_HOST is "redis://a", allowed is a host name or an IP address',
    ],
    [{ REDIS_CONNECTION_POOL_MAX_SIZE: "0" }, `REDIS_CONNECTION_POOL_MAX_SIZE is "0", ${numbers} 1 to 64`],
    [
      { REDIS_CONNECTION_POOL_MAX_SIZE: "2", REDIS_CONNECTION_POOL_MIN_SIZE: "3" },
      `REDIS_CONNECTION_POOL_MIN_SIZE is "3", ${numbers} 0 to 2`,
    ],
    [{ REDIS_TLS: "yes" }, 'REDIS_TLS is "yes", allowed is true or false'],
    [
      { REDIS_URL: "redis://a", REDIS_ENTERPRISE_HOST: "b" },
      "REDIS_ENTERPRISE_HOST and REDIS_URL are set, allowed is one of them",
    ],
    [
      { REDIS_URL: "redis://a", REDIS_ENTERPRISE_PORT: "1" },
      "REDIS_ENTERPRISE_PORT and REDIS_URL are set, allowed is one of them",
    ],
    [
      { REDIS_SENTINELS: "a", REDIS_SENTINEL_MASTER: "m", REDIS_CLUSTER_NODES: "b" },
      "REDIS_SENTINELS and REDIS_CLUSTER_NODES are set, allowed is one of them",
    ],
    [
      { REDIS_SENTINELS: "a" },
      "REDIS_SENTINELS is set without REDIS_SENTINEL_MASTER, the name of the master",
    ],
    [
      { REDIS_SENTINEL_MASTER: "m" },
      "REDIS_SENTINEL_MASTER is set without REDIS_SENTINELS, a list of host:port",
    ],
    [
      { REDIS_CLUSTER_NODES: "a:b" },
      'REDIS_CLUSTER_NODES has "a:b", allowed is a comma list of host:port, without user or password',
    ],
    [
      { REDIS_CLUSTER_NODES: " , " },
      "REDIS_CLUSTER_NODES names no host, allowed is a comma list of host:port",
    ],
    [
      { REDIS_ENTERPRISE_USER: "u" },
      "REDIS_ENTERPRISE_USER is set without REDIS_ENTERPRISE_PASSWORD, allowed is with it",
    ],
    [{ REDIS_URL: "redis://a:99999" }, `The port of REDIS_URL is "99999", ${numbers} 1 to 65535`],
    [{ REDIS_URL: "redis://a/x" }, `The database of REDIS_URL is "x", ${numbers} 0 to 1000000`],
    [
      { REDIS_TLS: "false", REDIS_URL: "rediss://a" },
      "REDIS_TLS is false and REDIS_URL is rediss://, allowed is one of them",
    ],
    [
      { REDIS_TLS_CA_PATH: pem },
      "REDIS_TLS_CA_PATH is set and TLS is off, allowed is with REDIS_TLS=true or rediss://",
    ],
    [
      { REDIS_TLS: "true", REDIS_TLS_CERT_PATH: pem },
      "REDIS_TLS_CERT_PATH is set without REDIS_TLS_KEY_PATH, allowed are both or none",
    ],
    [
      { REDIS_TLS: "true", REDIS_TLS_CA_PATH: `${folder}/c` },
      `Cannot read REDIS_TLS_CA_PATH "${folder}/c": file is missing`,
    ],
    [{ REDIS_TLS: "true", REDIS_TLS_CA_PATH: folder }, `Cannot read REDIS_TLS_CA_PATH "${folder}": EISDIR`],
    [
      { REDIS_TLS: "true", REDIS_TLS_CA_PATH: noPem },
      `REDIS_TLS_CA_PATH is "${noPem}", allowed is a PEM file`,
    ],
  ])("such as %j is refused", (env, problem) => {
    expect(problemOf(env)).toBe(problem);
  });

  test.each([
    "redis://u:sesame@a:99999",
    "redis://u:sesame@a b",
    "redis://u:sesame%@a",
    "redis://u:ses/ame@a",
    "redis://:sesame?x@a",
    "http://u:sesame@a",
    "u:sesame@a",
  ])("never shows the password of the URL %s", (url) => {
    expect(problemOf({ REDIS_URL: url })).toMatch(/REDIS_URL/);
    expect(problemOf({ REDIS_URL: url })).not.toContain("ses");
  });

  test("never shows a password in a list of nodes, nor one that is given twice", () => {
    expect(problemOf({ REDIS_CLUSTER_NODES: "u:sesame@a:1" })).not.toContain("sesame");
    const twice = { REDIS_URL: "redis://:sesame@a", REDIS_ENTERPRISE_PASSWORD: "sesame" };
    expect(problemOf(twice)).toBe(
      "REDIS_ENTERPRISE_PASSWORD is set and REDIS_URL has a password, allowed is one of them",
    );
  });

  test.skipIf(process.getuid?.() === 0)("names a file that may not be read", () => {
    chmodSync(noPem, 0o000);
    expect(problemOf({ REDIS_TLS: "true", REDIS_TLS_KEY_PATH: noPem, REDIS_TLS_CERT_PATH: pem })).toBe(
      `Cannot read REDIS_TLS_KEY_PATH "${noPem}": no permission`,
    );
  });
});
