import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { readEnvironment as read } from "../support/redis/redis-environment.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-redis-options-"));
afterAll(() => rmSync(folder, { recursive: true }));
const pem = join(folder, "a.pem");
writeFileSync(pem, "-----BEGIN CERTIFICATE-----\n");

describe("The Redis environment", () => {
  test("that is empty means a Redis on this machine, with one connection", () => {
    const expected = {
      address: { kind: "single", host: "127.0.0.1", port: 6379, db: 0 },
      pool: { min: 1, max: 1 },
      connectTimeoutMs: 5_000,
      commandTimeoutMs: 3_000,
      keyPrefix: "",
      maxReplyBytes: 72 * 1024 * 1024,
    } as const;
    expect(read({})).toEqual(expected);
    expect(read({ REDIS_URL: "", REDIS_TLS: "", REDIS_SENTINELS: "", REDIS_ENTERPRISE_HOST: "" })).toEqual(
      expected,
    );
  });

  test("can set host, port, user, password and pool size", () => {
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
  ])("can be the URL %s", (url, address, others) => {
    const { address: found, user, password, tls } = read({ REDIS_URL: url });
    expect(found).toEqual({ kind: "single", ...address });
    expect({ ...(user && { user }), ...(password && { password }), ...(tls && { tls }) }).toEqual(others);
  });

  test("accepts any password: in its variable as it is, in the URL percent-encoded", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (password) => {
        expect(read({ REDIS_ENTERPRISE_PASSWORD: password }).password).toBe(password);
        expect(read({ REDIS_URL: `redis://u:${encodeURIComponent(password)}@a` }).password).toBe(password);
      }),
    );
  });

  test("can name Sentinels, or nodes of a Cluster", () => {
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

  test("can enable TLS, with files that can be read", () => {
    expect(read({ REDIS_TLS: "true" }).tls).toEqual({});
    expect(read({ REDIS_TLS: "0" }).tls).toBeUndefined();
    const paths = { REDIS_TLS_CA_PATH: pem, REDIS_TLS_CERT_PATH: pem, REDIS_TLS_KEY_PATH: pem };
    const expected = { caPath: pem, certPath: pem, keyPath: pem };
    expect(read({ REDIS_TLS: "1", ...paths }).tls).toEqual(expected);
    expect(read({ REDIS_URL: "rediss://a", ...paths }).tls).toEqual(expected);
  });
});
