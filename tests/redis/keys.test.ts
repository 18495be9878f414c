import { describe, expect, test } from "bun:test";
import { type RedisKeySchema, redisFeedId, sdkKeyDigest } from "../../src/redis/keys.ts";
import type { ApiVersion, SpecFormat } from "../../src/specs/feed.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { feedOf } from "../support/specs/snapshots.ts";

// printf %s secret-0123456789abcdefghij | sha256sum, and the same | xxd -r -p | base64
const KEY = "secret-0123456789abcdefghij";
const HEX = "ed2199460eb4469efb824cf7e9e97360b32d0c793c3a726cbb1810fc3d732ea0";
const BASE64 = "7SGZRg60Rp77gkz36elzYLMtDHk8OnJsuxgQ/D1zLqA=";

const namesOf = (schemas: readonly RedisKeySchema[], version: ApiVersion, format: SpecFormat): string[] =>
  UNPREFIXED.entries(feedOf(KEY, version, format), schemas).map(({ name }) => name);

describe("Keys of Redis", () => {
  test.each([
    ["v1", "v1", "json", `statsig::${HEX}`],
    ["v3", "v1", "json", `statsig|/v1/download_config_specs|plain_text|${BASE64}`],
    ["v3", "v2", "json", `statsig|/v2/download_config_specs|plain_text|${BASE64}`],
    ["v3", "v2", "proto", `statsig|/v2/download_config_specs|statsig-br|${BASE64}`],
    ["v4", "v1", "json", "statsig|/v1/download_config_specs|plain_text|secret-0123456789abc"],
    ["v4", "v2", "json", "statsig|/v2/download_config_specs|plain_text|secret-0123456789abc"],
    ["v4", "v2", "proto", "statsig|/v2/download_config_specs|statsig-br|secret-0123456789abc"],
  ] as const)(
    "have the names of schema %s for the feed %s/%s that SDKs read",
    (schema, version, format, name) => {
      expect(namesOf([schema], version, format)).toEqual([name]);
    },
  );

  test("are listed in the order of the schemas", () => {
    expect(UNPREFIXED.entries(feedOf(KEY, "v1"), ["v4", "v1", "v3"]).map(({ schema }) => schema)).toEqual([
      "v4",
      "v1",
      "v3",
    ]);
  });

  test("exist under schema v1 only for v1 JSON, and every feed has a key", () => {
    expect(namesOf(["v1", "v4"], "v2", "json")).toEqual(namesOf(["v4"], "v2", "json"));
    expect(namesOf(["v1"], "v2", "json")).toEqual(namesOf(["v3"], "v2", "json"));
    expect(namesOf(["v1"], "v1", "proto")).toEqual(namesOf(["v3"], "v1", "proto"));
  });

  test("contain a short SDK key in full only under v4", () => {
    const names = UNPREFIXED.entries(feedOf("secret-x", "v1"), ["v1", "v3", "v4"]).map(({ name }) => name);
    expect(names.map((name) => name.includes("secret-x"))).toEqual([false, false, true]);
  });
});

test("sdkKeyDigest covers the whole SDK key and does not depend on the feed", () => {
  expect(sdkKeyDigest(feedOf(KEY, "v1", "json"))).toBe(BASE64);
  expect(sdkKeyDigest(feedOf(KEY, "v2", "proto"))).toBe(BASE64);
});

test("redisFeedId distinguishes feeds and does not contain the SDK key", () => {
  // printf %s v2/json/secret-0123456789abcdefghij | sha256sum | xxd -r -p | base64, with -_ and no =
  expect(redisFeedId(feedOf(KEY))).toBe("scO2ZIHAl-IW8kFxRm2yypFZQ6TH4wN-Wm3fTJYLJY0");
  expect(redisFeedId(feedOf(KEY, "v1"))).not.toBe(redisFeedId(feedOf(KEY)));
});
