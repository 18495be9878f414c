import { afterAll, describe, expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { countServingThreads } from "../../src/config/groups/listeners.ts";
import type { Environment, GivenConfig } from "../../src/config/settings.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const files = new ConfigFiles();
afterAll(() => files[Symbol.dispose]());

const given = (value?: string): GivenConfig => ({
  mode: "http",
  cache: "disabled",
  values: new Map(value === undefined ? [] : [["serving-threads", value]]),
});
const threadsOf = (value?: string, env: Environment = {}) => readConfig(given(value), env).servingThreads;

describe("--serving-threads", () => {
  test("is auto, or a number from 1 to 64", () => {
    expect(threadsOf()).toBe("auto");
    expect(threadsOf("auto")).toBe("auto");
    expect(threadsOf("1")).toBe(1);
    expect(threadsOf("64")).toBe(64);
    expect(threadsOf(undefined, { SFP_SERVING_THREADS: "3" })).toBe(3);
    expect(threadsOf("2", { SFP_SERVING_THREADS: "3" })).toBe(2);
  });

  test.each(["0", "-1", "65", "1.5", "abc", "Auto", "01", "1e1", "0x2", " 2", "100", "+2", "2,3"])(
    "rejects %j and says what is expected",
    (value) => {
      const expected = "(expected auto or a whole number from 1 to 64)";
      expect(() => threadsOf(value)).toThrow(`invalid value "${value}" for --serving-threads ${expected}`);
      const env = { SFP_SERVING_THREADS: value };
      expect(() => threadsOf(undefined, env)).toThrow(`for SFP_SERVING_THREADS ${expected}`);
    },
  );

  test("is read from a file, and printed as a file takes it", async () => {
    const first = await runRelay(["http", "disabled", "--serving-threads", "2", "--print-config"]);
    expect(first.stdout).toContain("\nserving-threads: ");
    for (const text of [first.stdout, "mode: http\ncache: disabled\nserving-threads: 2\n"]) {
      const { exitCode, stdout } = await runRelay(["--config", files.write(text), "--print-config"]);
      expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^serving-threads: "?2"? {2}#/m)]);
    }
  });

  test("a change needs a restart, as a reload says", async () => {
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream, { "serving-threads": 1 });
    const logged = await reloaded.reload({ "serving-threads": 2 });
    expect(logged).toContain("restart required for changed options options=serving-threads");
    expect(await reloaded.reload({ "serving-threads": 65 })).toContain(
      "expected auto or a whole number from 1 to 64",
    );
  });

  test("a negative number on the command line ends the start with one line", async () => {
    const { exitCode, stderr } = await runRelay(["http", "disabled", "--serving-threads=-1"]);
    expect([exitCode, stderr]).toEqual([
      2,
      expect.stringContaining('invalid value "-1" for --serving-threads'),
    ]);
  });
});

describe("the number of serving threads", () => {
  test.each([
    ["auto", 1, 1],
    ["auto", 3, 3],
    ["auto", 16, 16],
    ["auto", 96, 16],
    [4, 1, 4],
    [64, 96, 64],
  ] as const)("%p with %i available CPUs is %i", (threads, cores, expected) => {
    expect(countServingThreads(threads, cores, "linux")).toBe(expected);
  });
});

test("auto is one thread where the system does not spread connections", () => {
  expect(countServingThreads("auto", 8, "darwin")).toBe(1);
  expect(countServingThreads(2, 8, "darwin")).toBe(2);
});
