import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { LineLogger, type LogFormat, type LogLevel } from "../../src/telemetry/logging/logger.ts";
import { Output } from "../support/common/output.ts";
import { within } from "../support/common/wait.ts";
import { runRelay, spawnRelay } from "../support/relay/run-relay.ts";

function linesOf(format: LogFormat, level: LogLevel): string[] {
  const lines: string[] = [];
  const logger = new LineLogger((line) => lines.push(line), { format, level });
  logger.log("debug", "polled", { tookMs: 3 });
  logger.log("info", "serving", { mode: "http", note: 'a "quoted"\nword', absent: undefined });
  logger.log("warn", "limit reached", { limit: "max-concurrent-requests" });
  return lines;
}

describe("log lines", () => {
  test("in JSON are one object per line with time, level, message and fields in snake_case", () => {
    const objects = linesOf("json", "debug").map((line) => JSON.parse(line));
    expect(objects.map(({ time, ...rest }) => [typeof time, rest])).toEqual([
      ["string", { level: "debug", message: "polled", took_ms: 3 }],
      ["string", { level: "info", message: "serving", mode: "http", note: 'a "quoted"\nword' }],
      ["string", { level: "warn", message: "limit reached", limit: "max-concurrent-requests" }],
    ]);
  });

  test("in text format stay one line, whatever characters a value has", () => {
    const [, serving = ""] = linesOf("text", "debug");
    expect(serving).toEndWith('INFO  serving mode=http note="a \\"quoted\\"\\nword"\n');
    expect(serving.trimEnd()).not.toContain("\n");
  });

  test.each([
    ["debug", 3],
    ["info", 2],
    ["warn", 1],
    ["error", 0],
  ] as const)("below --log-level %s are not written", (level, count) => {
    expect(linesOf("text", level)).toHaveLength(count);
  });

  test("of a relay with --log-format json are all JSON", async () => {
    const args = [
      "http",
      "disabled",
      "--bind-address",
      "127.0.0.1",
      "--http-port",
      "0",
      "--log-format",
      "json",
    ];
    const child = spawnRelay(args, {});
    const output = new Output(child.stdout);
    await within(
      output.until((text) => text.includes('"serving"') || undefined),
      20_000,
      "serving",
    );
    // All that it printed has arrived when its output has ended, which may be after its end.
    const closed = once(child, "close");
    child.kill("SIGTERM");
    await closed;
    expect(child.exitCode).toBe(0);
    const messages = output.text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).message);
    expect(messages).toEqual(["listening", "serving", "stopping", "stopped"]);
  });

  test("cannot have an unknown format or level", async () => {
    const format = await runRelay(["http", "disabled", "--log-format", "xml"]);
    expect([format.exitCode, format.stderr]).toEqual([
      2,
      'error: invalid value "xml" for --log-format (expected text or json)\n',
    ]);
    const level = await runRelay(["http", "disabled", "--log-level", "loud"]);
    expect([level.exitCode, level.stderr]).toEqual([
      2,
      'error: invalid value "loud" for --log-level (expected debug, info, warn or error)\n',
    ]);
  });
});
