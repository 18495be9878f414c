import { describe, expect, test } from "bun:test";
import { toStatsigEvent } from "../../src/telemetry/push/statsig.ts";
import { runRelay } from "../support/relay/relay-process.ts";

describe("an event for Statsig", () => {
  const tags = { path: "/v1/a", lcut: "" };
  test("has the mean, count, minimum and maximum of latencies, and no empty tags", () => {
    const values = [0.5, 1.00049, 3];
    const event = toStatsigEvent({ kind: "latency", name: "a", tags, values, seen: 300 });
    const metadata = { path: "/v1/a", count: "300", min: "0.5", max: "3" };
    expect(event).toEqual({ eventName: "a", value: 1.5, metadata });
  });
});

describe("--statsig-logging ends the start with one line", () => {
  const run = (args: readonly string[], env = {}) =>
    runRelay(["http", "disabled", "--http-port", "0", ...args], env);

  test("if STATSIG_SERVER_SDK_KEY is missing", async () => {
    const { exitCode, stderr } = await run(["--statsig-logging"]);
    const needs = "--statsig-logging requires STATSIG_SERVER_SDK_KEY";
    expect([exitCode, stderr]).toEqual([
      2,
      `error: ${needs}, the server SDK key of the project that receives the metrics\n`,
    ]);
  });

  test.each(["client-abcdef0123456789", "secret-with space", "abc"])(
    "if the SDK key is invalid, such as %s, and does not show it",
    async (given) => {
      const { exitCode, stderr } = await run(["--statsig-logging"], { STATSIG_SERVER_SDK_KEY: given });
      expect(exitCode).toBe(2);
      expect(stderr).toStartWith(
        "error: invalid value for STATSIG_SERVER_SDK_KEY, not shown because it may be secret (expected a server SDK key",
      );
      expect(stderr).not.toContain(given);
    },
  );

  test.each(["env", "env:A,team", ",", "env:A,"])("if the tags are invalid, such as %s", async (given) => {
    const { exitCode, stderr } = await run(["--statsig-logging-tags", given]);
    expect([exitCode, stderr]).toEqual([
      2,
      `error: invalid value "${given}" for --statsig-logging-tags (expected a comma-separated list of NAME:VARIABLE)\n`,
    ]);
  });
});
