import { describe, expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { ConfigError, type Environment } from "../../src/config/settings.ts";
import { maxSocketPathBytes } from "../../src/platform/libc.ts";
import { runRelay } from "../support/relay/relay-process.ts";

const wholeFrom = (min: number, max: number) => `a whole number from ${min} to ${max}`;
const maxPath = maxSocketPathBytes(process.platform);
const aSocketPath = `the path of a datagram socket, at most ${maxPath} bytes`;

const read = (flags: readonly string[], env: Environment) => {
  const values = new Map(flags.map((flag) => [flag, "true"]));
  return readConfig({ mode: "http", cache: "disabled", values }, env).monitoring.statsd;
};

const unusable = [
  ["STATSD_PORT_OVERRIDE", "0", wholeFrom(1, 65_535)],
  ["STATSD_PORT_OVERRIDE", "8125/udp", wholeFrom(1, 65_535)],
  ["STATSD_HOST_OVERRIDE", "10.0.0.1:8125", "a host name or an IP address"],
  ["STATSD_SOCKET", "unix:///run/agent.sock", aSocketPath],
  ["STATSD_SOCKET", "x".repeat(maxPath + 1), aSocketPath],
  ["DATADOG_MAX_BATCH_EVENT_COUNT", "0", wholeFrom(1, 100_000)],
  ["DATADOG_SENDER_BUFFER_SIZE", "-1", wholeFrom(1, 1_000_000_000)],
  ["DOGSTATSD_MAX_BUFFER_SIZE", "65508", wholeFrom(512, 65_507)],
  ["DOGSTATSD_MAX_TIME_MS", "soon", wholeFrom(1, 1_000_000_000)],
  ["DOGSTATSD_MAX_RETRY_ATTEMPT", "21", wholeFrom(0, 20)],
  ["DOGSTATSD_INITIAL_RETRY_DELAY", "1.5", wholeFrom(0, 60_000)],
] as const;

describe("an invalid StatsD setting", () => {
  test.each(unusable)("is an error with the expected form: %s=%s", (name, given, allowed) => {
    const error = new ConfigError(`invalid value "${given}" for ${name} (expected ${allowed})`);
    expect(() => read(["statsd-logging"], { [name]: given })).toThrow(error);
    expect(() => read(["datadog-logging"], { [name]: given })).toThrow(error);
  });

  test("is ignored without the option", () => {
    for (const [name, given] of unusable) expect(read([], { [name]: given })).toBeUndefined();
  });

  test("ends the start with exit code 2", async () => {
    const env = { STATSD_PORT_OVERRIDE: "70000" };
    const { exitCode, stderr } = await runRelay(["--statsd-logging", "http", "disabled"], env);
    const line = `error: invalid value "70000" for STATSD_PORT_OVERRIDE (expected ${wholeFrom(1, 65_535)})\n`;
    expect([exitCode, stderr]).toEqual([2, line]);
  });
});

describe("the StatsD destination", () => {
  test.each([
    [{}, { kind: "udp", host: "127.0.0.1", port: 8125 }],
    [{ STATSD_HOST_OVERRIDE: "agent.example" }, { kind: "udp", host: "agent.example", port: 8125 }],
    [{ STATSD_PORT_OVERRIDE: "9125" }, { kind: "udp", host: "127.0.0.1", port: 9125 }],
    [{ STATSD_HOST_OVERRIDE: "fe80::1%eth0" }, { kind: "udp", host: "fe80::1%eth0", port: 8125 }],
    [
      { STATSD_SOCKET: "/run/agent.sock", STATSD_HOST_OVERRIDE: "agent.example" },
      { kind: "unix", path: "/run/agent.sock" },
    ],
  ] as const)("%p", (env, place) => {
    expect(read(["statsd-logging"], env)?.place).toEqual(place);
  });

  test("is Datadog's with both options", () => {
    expect(read(["statsd-logging", "datadog-logging"], {})?.sink).toBe("datadog");
  });
});
