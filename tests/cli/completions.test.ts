import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SUBCOMMANDS } from "../../src/cli/subcommands.ts";
import type { OptionSpec } from "../../src/config/option.ts";
import { OPTIONS } from "../../src/config/options.ts";

import { describeWith } from "../support/common/needs.ts";
import { runRelay } from "../support/relay/relay-process.ts";

/** Types each line and the completion key at the prompt of a second zsh, and prints the completed line. */
const ZSH_PROMPT = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; autoload -U compinit; compinit -D; source $1"
zpty -w shell 'show() { zle complete-word; print -r -- "<<$BUFFER>>"; BUFFER=; }'
zpty -w shell 'zle -N show; bindkey "^X" show; stty -echo; print REA""DY'
zpty -r shell out '*READY*'
for line in "\${@[2,-1]}"; do
  zpty -w -n shell "statsig-forward-proxy $line"$'\\x18'
  zpty -r shell out '*>>*'
  print -r -- "\${\${out##*<<}%%>>*}|"
done
zpty -d shell
`;

const NAME = "statsig-forward-proxy";
const MODES = ["grpc", "grpc-and-http", "http"];
const FIRST = [...MODES, ...SUBCOMMANDS.map(({ name }) => name)].sort();

const folder = mkdtempSync(join(tmpdir(), "sfp-completions-"));
afterAll(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, "relay.yaml"), "");

/** Writes the script for a shell to a file, and returns its path. */
async function scriptFor(shell: string): Promise<string> {
  const { exitCode, stdout, stderr } = await runRelay(["completions", shell]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const path = join(folder, `completions.${shell}`);
  writeFileSync(path, stdout);
  return path;
}

async function run(...command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { cwd: folder, stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect({ code: await child.exited, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

/** Returns the completions for a line up to the cursor, in alphabetical order. */
type Complete = (line: string) => Promise<readonly string[]>;

function expectations(
  complete: Complete,
  { afterEquals }: { readonly afterEquals: (words: string[]) => string[] },
): void {
  test("the first word is a MODE or a subcommand, the second a CACHE, and there is no third", async () => {
    expect(await complete("")).toEqual(FIRST);
    expect(await complete("g")).toEqual(["grpc", "grpc-and-http"]);
    expect(await complete("http ")).toEqual(["disabled", "local", "redis"]);
    expect(await complete("http redis ")).toEqual([]);
  });

  test("options and their values do not count as words", async () => {
    expect(await complete("-p 5 --http-port 1 http r")).toEqual(["redis"]);
    expect(await complete("--debug-logging --log-format json http l")).toEqual(["local"]);
    expect(await complete("--log-format=json http l")).toEqual(["local"]);
    expect(await complete("--local-cache-path demo http l")).toEqual(["local"]);
  });

  test("every option is completed from its prefix", async () => {
    expect(await complete("http --fleet")).toEqual(["--fleet-polling"]);
    for (const { name } of OPTIONS as readonly OptionSpec[]) {
      expect(await complete(`http disabled --${name}`)).toContain(`--${name}`);
    }
    expect(await complete("--print-c")).toEqual(["--print-config"]);
  }, 90_000);

  test("a value is completed to an allowed word or a file", async () => {
    expect(await complete("--log-format ")).toEqual(["json", "text"]);
    expect(await complete("--log-level=w")).toEqual(afterEquals(["--log-level=warn"]));
    expect(await complete("--config rel")).toEqual(["relay.yaml"]);
    expect(await complete("--polling-interval-in-s ")).toEqual([]);
  });

  test("a subcommand has its own words and options", async () => {
    expect(await complete("completions ")).toEqual(["bash", "fish", "zsh"]);
    expect(await complete("completions --http-p")).toEqual([]);
    expect(await complete("demo --http-p")).toEqual(["--http-port"]);
    expect(await complete("demo --print-c")).toEqual([]);
    expect(await complete("healthcheck --timeout")).toEqual(["--timeout-in-s"]);
    expect(await complete("--timeout")).toEqual([]);
  });
}

describe("completions bash", () => {
  let script = "";
  beforeAll(async () => {
    script = await scriptFor("bash");
  });

  // As readline splits a line: = is a separate word.
  expectations(
    async (line) => {
      const words = `${NAME} ${line}`.split(/ |(=)/).filter((word) => word !== undefined);
      const set = words.map((word) => `'${word}'`).join(" ");
      const ask = `COMP_WORDS=(${set}); COMP_CWORD=${words.length - 1}; _${NAME.replaceAll("-", "_")}`;
      const print = `printf "%s\\n" "\${COMPREPLY[@]}"`;
      const output = await run("bash", "--norc", "-c", `source ${script}; ${ask}; ${print}`);
      return output.split("\n").filter(Boolean).sort();
    },
    { afterEquals: (words) => words.map((word) => word.replace(/^.*=/, "")) },
  );

  test("a list of keys is completed to a file only after @", async () => {
    const ask = "COMP_WORDS=(x --preload-sdk-keys @rel); COMP_CWORD=2; _statsig_forward_proxy";
    expect(await run("bash", "-c", `source ${script}; ${ask}; echo "$COMPREPLY"`)).toBe("@relay.yaml\n");
  });
});

describeWith("fish")("completions fish", () => {
  let script = "";
  beforeAll(async () => {
    script = await scriptFor("fish");
  });
  expectations(
    async (line) => {
      const output = await run(
        "fish",
        "--no-config",
        "-c",
        `source ${script}; complete -C '${NAME} ${line}'`,
      );
      return output
        .split("\n")
        .map((row) => row.split("\t")[0] ?? "")
        .filter(Boolean)
        .sort();
    },
    { afterEquals: (words) => words },
  );
});

describeWith("zsh")("completions zsh", () => {
  test("complete a line at a prompt up to the first ambiguity", async () => {
    const script = await scriptFor("zsh");
    const typed = {
      "--log-f": "--log-format=",
      "--log-format j": "--log-format json ",
      "--log-format=j": "--log-format=json ",
      "http r": "http redis ",
      "completions z": "completions zsh ",
      "http --fleet": "http --fleet-polling ",
      "healthcheck --timeout": "healthcheck --timeout-in-s=",
      "--timeout": "--timeout",
      "demo --print-c": "demo --print-c",
      "--print-c": "--print-config ",
      "-p 5 --local-cache-path demo http l": "-p 5 --local-cache-path demo http local ",
      "--config rel": "--config relay.yaml ",
      "--allowed-sdk-keys @rel": "--allowed-sdk-keys @relay.yaml ",
    };
    const output = await run("zsh", "-f", "-c", ZSH_PROMPT, "zsh", script, ...Object.keys(typed));
    expect(output.trimEnd().split("\n")).toEqual(Object.values(typed).map((line) => `${NAME} ${line}|`));
  }, 90_000);
});

test("an unsupported shell is an error", async () => {
  const refused = await runRelay(["completions", "tcsh"]);
  expect(refused).toEqual({
    exitCode: 2,
    stdout: "",
    stderr: 'error: completions: invalid shell "tcsh" (expected bash, zsh or fish)\n',
  });
  expect((await runRelay(["completions"])).stderr).toContain(
    "completions: missing shell (expected bash, zsh or fish)",
  );
  expect((await runRelay(["completions", "bash", "-p", "5"])).stderr).toContain(
    "not an option of completions",
  );
});
