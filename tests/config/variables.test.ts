import { describe, expect, test } from "bun:test";
import { withUpperCaseNames } from "../../src/config/variables.ts";

describe("variables are read in any case", () => {
  test.each([
    [{ statsig_endpoint: "http://a" }, "http://a"],
    [{ Statsig_Endpoint: "http://a" }, "http://a"],
    [{ statsig_endpoint: "http://a", STATSIG_ENDPOINT: "http://b" }, "http://b"],
    [{ statsig_endpoint: "http://a", STATSIG_ENDPOINT: "" }, "http://a"],
    [{ statsig_endpoint: "http://a", Statsig_Endpoint: "http://b" }, "http://a"],
    [{ statsig_endpoint: "" }, undefined],
  ])("%p", (env, expected) => {
    expect(withUpperCaseNames(env)["STATSIG_ENDPOINT"]).toBe(expected);
  });

  test("Redis, metrics and log events too", () => {
    const env = { redis_enterprise_host: "h", dd_env: "e", log_event_dedupe_cache_limit: "1" };
    expect(withUpperCaseNames(env)).toEqual({
      ...env,
      ...{ REDIS_ENTERPRISE_HOST: "h", DD_ENV: "e", LOG_EVENT_DEDUPE_CACHE_LIMIT: "1" },
    });
  });

  test("other variables keep their case", () => {
    const env = { hostname: "h", otel_service_name: "s", sfp_http_port: "1", https_proxy: "p" };
    expect(withUpperCaseNames(env)).toEqual(env);
  });
});
