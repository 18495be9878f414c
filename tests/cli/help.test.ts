import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json";
import type { OptionSpec } from "../../src/config/option.ts";
import { OPTION_GROUPS, OPTIONS } from "../../src/config/options.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { relayCommand, runRelay } from "../support/relay/run-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";

const OPTION_ROWS: readonly OptionSpec[] = OPTIONS;

/** Runs a command that must print and end with exit code 0. */
async function print(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await runRelay(args, env);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return stdout;
}

/** Names of options, at the beginning of a line, as help lists them. */
const listedIn = (text: string) =>
  Array.from(text.matchAll(/^ {2}(?:-\w, | {4})--([\w-]+)/gm), ([, name = ""]) => name);

const longestLine = (text: string) => Math.max(...text.split("\n").map((line) => line.length));

describe("--help", () => {
  test("lists every option in its group, with its short name, other names and default", async () => {
    const text = await print(["--help"]);
    expect(text).toContain("Usage: statsig-forward-proxy [OPTIONS] <MODE> <CACHE>\n");
    const sections = new Map(
      text.split("\n\n").map((part) => [part.slice(0, part.indexOf(":\n")), part] as const),
    );
    for (const { heading, options } of OPTION_GROUPS) {
      const rows: readonly OptionSpec[] = Object.values(options);
      expect(listedIn(sections.get(heading) ?? "")).toEqual(rows.map(({ name }) => name));
    }
    for (const { name, short, aliases = [], default: byDefault } of OPTION_ROWS) {
      expect(text).toContain(short === undefined ? `      --${name}` : `  -${short}, --${name}`);
      for (const alias of aliases) expect(text).toContain(`--${alias})`);
      if (byDefault) expect(text).toContain(`(Default: ${byDefault})`);
    }
    expect(text).not.toContain("\u001b[");
    expect(await print(["help", "options"])).toBe(text);
  });

  test.each([
    [undefined, 100],
    ["80", 80],
    ["72", 72],
    ["400", 120],
    ["1", 60],
    ["wide", 100],
  ])("with COLUMNS=%s wraps at %p characters", async (columns, width) => {
    const env = columns === undefined ? {} : { COLUMNS: columns };
    const texts = await Promise.all([
      print(["-h"], env),
      print(["--help"], env),
      print(["doctor", "-h"], env),
    ]);
    const prose = texts.map((text) =>
      text
        .split("\n")
        // Names of options, defaults, commands of examples and single long words are not broken.
        .filter(
          (line) => !/^ {2}(?:-\w, | {4})--|^ {2}\w+ \[|statsig-forward-proxy|\(Default|^ *\S+$/.test(line),
        )
        .join("\n"),
    );
    for (const text of prose) expect(longestLine(text)).toBeLessThanOrEqual(width);
    expect(Math.max(...prose.map(longestLine))).toBeGreaterThan(width - 10);
  });

  test("fits a terminal", () => {
    const command = ["stty cols 70; exec", ...relayCommand(), "-h"].join(" ");
    const { stdout } = Bun.spawnSync({
      // bsdutils, which every Debian has, gives the command a terminal.
      cmd: ["script", "-qec", command, "/dev/null"],
      env: { PATH: process.env["PATH"] ?? "", HOME: "/" },
      timeout: 30_000,
    });
    const intro = /Each option, MODE[^\r\n]*/.exec(stdout.toString())?.[0] ?? "";
    expect(intro.length).toBeLessThanOrEqual(68);
    expect(intro.length).toBeGreaterThan(50);
  });

  test.each(["--help=true", "-h=true", "--help=1"])("%s prints help beside other arguments", async (flag) => {
    expect(await print([flag, "http"])).toContain("--polling-interval-in-s");
  });

  test.each(["--help=false", "-h=false", "--help=0", "--version=false", "-V=false"])(
    "%s is ignored, and the missing MODE is reported",
    async (flag) => {
      expect(await runRelay([flag])).toEqual({
        exitCode: 2,
        stdout: "",
        stderr: "error: missing <MODE> (expected grpc-and-http, grpc or http)\n",
      });
    },
  );
});

describe("the short help", () => {
  test("fits on two screens, and says where the rest is", async () => {
    const text = await print(["-h"]);
    expect(await print(["help"])).toBe(text);
    expect(text.split("\n").length).toBeLessThan(80);
    expect(listedIn(text).length).toBeLessThan(20);
    for (const word of ["demo", "doctor", "healthcheck", "completions", "--help", "STATSIG_ENDPOINT"]) {
      expect(text).toContain(word);
    }
  });

  test("lists only options that exist", async () => {
    const known = [...OPTION_ROWS.map(({ name }) => name), "print-config"];
    expect(listedIn(await print(["-h"])).filter((name) => !known.includes(name))).toEqual([]);
  });
});

describe("the help of a subcommand", () => {
  test.each([
    ["demo", []],
    ["healthcheck", ["timeout-in-s"]],
    ["doctor", ["json"]],
    ["completions", []],
  ])("%s lists its own options", async (name, options) => {
    const text = await print([name, "--help"]);
    expect(text).toContain(`Usage: statsig-forward-proxy ${name}`);
    expect(listedIn(text)).toEqual([...options, "help", "version"]);
    expect(await print(["help", name])).toBe(text);
    expect(await print([name, "-h"])).toBe(text);
    expect(text.includes("options of a relay")).toBe(name !== "completions");
  });

  test("takes no further topic", async () => {
    const { exitCode, stderr } = await runRelay(["help", "demo", "doctor"]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 2,
      stderr: 'error: unexpected argument "doctor" (help takes TOPIC)\n',
    });
  });
});

describe("a start without arguments", () => {
  const BEGIN = "How to begin:\n  statsig-forward-proxy demo ";

  test("says how to begin, and exits 2", async () => {
    const { exitCode, stdout, stderr } = await runRelay([]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain(BEGIN);
    expect(stderr).toContain("\n  statsig-forward-proxy grpc-and-http local ");
    expect(stderr).toContain("\n  statsig-forward-proxy doctor grpc-and-http local ");
    expect(stderr).toContain("\n  statsig-forward-proxy help ");
    expect(stderr).toEndWith("\nerror: missing <MODE> (expected grpc-and-http, grpc or http)\n");
    expect(stderr.split("\n").length).toBeLessThan(15);
  });

  test.each([
    ["a variable sets MODE", { SFP_MODE: "http" }, "missing <CACHE>"],
    ["a variable sets CACHE", { SFP_CACHE: "local" }, "missing <MODE>"],
    ["a variable names a file", { SFP_CONFIG: "FILE" }, "missing <CACHE>"],
  ])("only names what is missing if %s", async (_, env, problem) => {
    using files = new ConfigFiles();
    const path = files.write("mode: http\n");
    const filled = Object.fromEntries(
      Object.entries(env).map(([name, value]) => [name, value.replace("FILE", path)]),
    );
    const { exitCode, stderr } = await runRelay([], filled);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 2,
      stderr: expect.stringMatching(new RegExp(`^error: ${problem} \\(expected [^\n]*\\)\n$`)),
    });
  });
});

describe("--version", () => {
  test("shows the name, the version, the commit and the runtime", async () => {
    const text = await print(["--version"]);
    const [name, version, commit] = text.split(" ");
    expect([name, version]).toEqual(["statsig-forward-proxy", packageJson.version]);
    expect(commit).toMatch(/^\((source|[0-9a-f]{7}(-dirty)?),$/);
    expect(text).toMatch(isOnDeno ? /, Deno \d+\.\d+\.\d+\)\n$/ : /, Bun \d+\.\d+\.\d+\)\n$/);
    expect(await print(["version"])).toBe(text);
    expect(await print(["http", "disabled", "-V"])).toBe(text);
  });

  test("version takes no argument", async () => {
    const { exitCode, stderr } = await runRelay(["version", "http"]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 2,
      stderr: 'error: unexpected argument "http" (version takes only options)\n',
    });
  });
});
