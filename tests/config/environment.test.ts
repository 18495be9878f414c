import { describe, expect, test } from "bun:test";
import { readEnvironment } from "../../src/config/environment.ts";

describe("variables are read in any case", () => {
  test.each([
    [{ statsig_endpoint: "http://a" }, "http://a"],
    [{ Statsig_Endpoint: "http://a" }, "http://a"],
    [{ statsig_endpoint: "http://a", STATSIG_ENDPOINT: "http://b" }, "http://b"],
    [{ statsig_endpoint: "http://a", STATSIG_ENDPOINT: "" }, "http://a"],
    [{ statsig_endpoint: "http://a", Statsig_Endpoint: "http://b" }, "http://a"],
    [{ statsig_endpoint: "" }, undefined],
  ])("%p", (env, expected) => {
    expect(readEnvironment(env).env["STATSIG_ENDPOINT"]).toBe(expected);
  });

  test("Redis, metrics and log events too", () => {
    const env = { redis_enterprise_host: "h", dd_env: "e", log_event_dedupe_cache_limit: "1" };
    expect(readEnvironment(env).env).toEqual({
      ...env,
      ...{ REDIS_ENTERPRISE_HOST: "h", DD_ENV: "e", LOG_EVENT_DEDUPE_CACHE_LIMIT: "1" },
    });
  });

  test("other variables keep their case", () => {
    const env = { hostname: "h", sfp_http_port: "1", https_proxy: "p" };
    expect(readEnvironment(env).env).toEqual(env);
  });
});

describe("whole numbers of the original proxy are brought into range", () => {
  test.each([
    ["LOG_EVENT_DEDUPE_CACHE_LIMIT", "18446744073709551615", "50000000"],
    ["DATADOG_MAX_BATCH_TIME_MS", "0", "100"],
    ["DOGSTATSD_MAX_BUFFER_SIZE", "65536", "65507"],
    ["DOGSTATSD_MAX_RETRY_ATTEMPT", "21", "20"],
  ])("%s=%s", (setting, given, used) => {
    expect(readEnvironment({ [setting.toLowerCase()]: given })).toMatchObject({
      env: { [setting]: used },
      replaced: [{ setting, given, used }],
    });
  });

  test.each(["0", "20", "", "x", "-1", "2.5"])("a retry count of %s stays", (given) => {
    expect(readEnvironment({ DOGSTATSD_MAX_RETRY_ATTEMPT: given })).toEqual({
      env: { DOGSTATSD_MAX_RETRY_ATTEMPT: given },
      replaced: [],
      doubtful: [],
    });
  });
});
