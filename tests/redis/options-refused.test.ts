import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RedisEnvironment } from "../../src/redis/options.ts";
import { problemOf } from "../support/redis/redis-environment.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-redis-options-"));
afterAll(() => rmSync(folder, { recursive: true }));
const pem = join(folder, "a.pem");
writeFileSync(pem, "-----BEGIN CERTIFICATE-----\n");
const noPem = join(folder, "b.pem");
writeFileSync(noPem, "text");

describe("An invalid Redis environment", () => {
  const numbers = "(expected a whole number from";
  test.each<[RedisEnvironment, string]>([
    [{ REDIS_ENTERPRISE_PORT: "0" }, `invalid value "0" for REDIS_ENTERPRISE_PORT ${numbers} 1 to 65535)`],
    [
      { REDIS_ENTERPRISE_PORT: "1e3" },
      `invalid value "1e3" for REDIS_ENTERPRISE_PORT ${numbers} 1 to 65535)`,
    ],
    [
      { REDIS_ENTERPRISE_HOST: "redis://a" },
      'invalid value "redis://a" for REDIS_ENTERPRISE_HOST (expected a host name or an IP address)',
    ],
    [
      { REDIS_CONNECTION_POOL_MAX_SIZE: "0" },
      `invalid value "0" for REDIS_CONNECTION_POOL_MAX_SIZE ${numbers} 1 to 4294967295)`,
    ],
    [
      { REDIS_CONNECTION_POOL_MAX_SIZE: "2", REDIS_CONNECTION_POOL_MIN_SIZE: "3" },
      `invalid value "3" for REDIS_CONNECTION_POOL_MIN_SIZE ${numbers} 0 to 2)`,
    ],
    [{ REDIS_TLS: "yes" }, 'invalid value "yes" for REDIS_TLS (expected true or false)'],
    [
      { REDIS_URL: "redis://a", REDIS_ENTERPRISE_HOST: "b" },
      "REDIS_ENTERPRISE_HOST and REDIS_URL are set (expected only one of them)",
    ],
    [
      { REDIS_URL: "redis://a", REDIS_ENTERPRISE_PORT: "1" },
      "REDIS_ENTERPRISE_PORT and REDIS_URL are set (expected only one of them)",
    ],
    [
      { REDIS_SENTINELS: "a", REDIS_SENTINEL_MASTER: "m", REDIS_CLUSTER_NODES: "b" },
      "REDIS_SENTINELS and REDIS_CLUSTER_NODES are set (expected only one of them)",
    ],
    [
      { REDIS_SENTINELS: "a" },
      "REDIS_SENTINELS is set without REDIS_SENTINEL_MASTER (expected the name of the master)",
    ],
    [
      { REDIS_SENTINEL_MASTER: "m" },
      "REDIS_SENTINEL_MASTER is set without REDIS_SENTINELS (expected a comma-separated list of host:port)",
    ],
    [
      { REDIS_CLUSTER_NODES: "a:b" },
      'invalid host "a:b" in REDIS_CLUSTER_NODES (expected a comma-separated list of host:port, without user or password)',
    ],
    [
      { REDIS_CLUSTER_NODES: " , " },
      "REDIS_CLUSTER_NODES contains no host (expected a comma-separated list of host:port)",
    ],
    [{ REDIS_URL: "redis://a/1000001" }, "REDIS_URL contains an invalid database (expected 0 to 1000000)"],
    [
      { REDIS_TLS: "false", REDIS_URL: "rediss://a" },
      "REDIS_TLS is false and REDIS_URL is rediss:// (expected only one of them)",
    ],
    [
      { REDIS_TLS_CA_PATH: pem },
      "REDIS_TLS_CA_PATH is set and TLS is off (expected REDIS_TLS=true or rediss://)",
    ],
    [
      { REDIS_TLS: "true", REDIS_TLS_CERT_PATH: pem },
      "REDIS_TLS_CERT_PATH is set without REDIS_TLS_KEY_PATH (expected both or neither)",
    ],
    [
      { REDIS_TLS: "true", REDIS_TLS_CA_PATH: `${folder}/c` },
      `can't read REDIS_TLS_CA_PATH "${folder}/c": no such file or directory`,
    ],
    [
      { REDIS_TLS: "true", REDIS_TLS_CA_PATH: folder },
      `can't read REDIS_TLS_CA_PATH "${folder}": is a directory`,
    ],
    [
      { REDIS_TLS: "true", REDIS_TLS_CA_PATH: noPem },
      `invalid value "${noPem}" for REDIS_TLS_CA_PATH (expected a PEM file)`,
    ],
  ])("%j is rejected", (env, problem) => {
    expect(problemOf(env)).toBe(problem);
  });

  test.each([
    "redis://u:sesame@a:99999",
    "redis://u:sesame@a b",
    "redis://u:sesame%@a",
    "redis://u:ses/ame@a",
    "redis://u:sesame",
    "redis://u:sesame/0",
    "redis://sesame:@a",
    "redis://u:a@sesame/@a",
    "redis://:sesame?x@a",
    "http://u:sesame@a",
    "u:sesame@a",
  ])("is rejected without showing the password of the URL %s", (url) => {
    expect(problemOf({ REDIS_URL: url })).toMatch(/REDIS_URL/);
    expect(problemOf({ REDIS_URL: url })).not.toContain("ses");
  });

  test("never shows a password in a list of nodes, or one that is given twice", () => {
    expect(problemOf({ REDIS_CLUSTER_NODES: "u:sesame@a:1" })).not.toContain("sesame");
    const twice = { REDIS_URL: "redis://:sesame@a", REDIS_ENTERPRISE_PASSWORD: "sesame" };
    expect(problemOf(twice)).toBe(
      "REDIS_ENTERPRISE_PASSWORD is set and REDIS_URL has a password (expected only one of them)",
    );
  });
});
