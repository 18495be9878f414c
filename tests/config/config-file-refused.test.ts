import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { type FinishedRun, runRelay } from "../support/relay/relay-process.ts";

const files = new ConfigFiles();
afterAll(() => files[Symbol.dispose]());

const KEY = "secret-in-the-file-0123456789";

/** Runs with an invalid file, and returns the one-line error with `FILE` for the path. */
async function refusalOf(path: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runRelay(["--config", path, "http", "disabled", ...args]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  expect(stderr).not.toContain(KEY);
  return stderr.trim().replaceAll(path, "FILE");
}

describe("an invalid file exits 2 with one line that names the file, the option and what is expected", () => {
  const cases: readonly [string, string, string, string][] = [
    ["a mistyped name", "yaml", "http-prot: 1", 'unknown name "http-prot" in FILE (did you mean http-port?)'],
    ["another spelling", "yaml", "httpPort: 1", 'unknown name "httpPort" in FILE (did you mean http-port?)'],
    ["an underscore", "toml", "http_port = 1", 'unknown name "http_port" in FILE (did you mean http-port?)'],
    [
      "an unknown name",
      "yaml",
      "xyzzy: 1",
      'unknown name "xyzzy" in FILE (expected an option of --help without its dashes)',
    ],
    [
      "an environment variable",
      "yaml",
      "redis-url: redis://u:pass@h",
      'unknown name "redis-url" in FILE (REDIS_URL is an environment variable)',
    ],
    [
      "another file",
      "yaml",
      "config: more.yaml",
      'unknown name "config" in FILE (a configuration file cannot name another one)',
    ],
    ["a TOML table", "toml", "[http]\nport = 1", 'unknown name "http" in FILE (did you mean http-port?)'],
    [
      "an invalid word",
      "yaml",
      "log-format: xml",
      'invalid value "xml" for log-format in FILE (expected text or json)',
    ],
    [
      "a flag that is neither true nor false",
      "yaml",
      "fleet-polling: yes",
      'invalid value "yes" for fleet-polling in FILE (expected true or false; did you mean true?)',
    ],
    [
      "a number with a fraction",
      "yaml",
      "http-port: 80.5",
      'invalid value "80.5" for http-port in FILE (expected a whole number from 0 to 65535)',
    ],
    [
      "a list in place of a number",
      "yaml",
      "http-port: [1]",
      "invalid list for http-port in FILE (expected a whole number)",
    ],
    [
      "a date",
      "toml",
      "http-port = 2024-01-01",
      "invalid date for http-port in FILE (expected a whole number)",
    ],
    ["no value", "yaml", "http-port:", "invalid empty value for http-port in FILE (expected a whole number)"],
    [
      "a table in place of a flag",
      "yaml",
      "fleet-polling: { on: true }",
      "invalid table for fleet-polling in FILE (expected true or false)",
    ],
    [
      "an empty list",
      "yaml",
      "allowed-sdk-keys: []",
      "invalid empty list for allowed-sdk-keys in FILE (expected text or a list of texts)",
    ],
    [
      "a list of numbers",
      "toml",
      "allowed-sdk-keys = [1]",
      "invalid list for allowed-sdk-keys in FILE (expected text or a list of texts)",
    ],
    [
      "an invalid SDK key",
      "yaml",
      `allowed-sdk-keys: [${KEY}, "a b!"]`,
      'allowed-sdk-keys in FILE: entry 3 is not an SDK key (expected 1 to 200 letters, digits, "-", "_", "." or ":", not beginning with "." or ":")',
    ],
    [
      "a duplicate name in YAML",
      "yaml",
      `allowed-sdk-keys: ${KEY}\nhttp-port: 1\nhttp-port: 2\n`,
      '--config "FILE": line 3: duplicate name http-port',
    ],
    [
      "a duplicate name in TOML",
      "toml",
      `allowed-sdk-keys = "${KEY}"\nhttp-port = 1\nhttp-port = 2\n`,
      '--config "FILE": line 3: duplicate name http-port',
    ],
    [
      "invalid YAML",
      "yaml",
      `http-port: 1\n\tgrpc-port: [${KEY}\n`,
      '--config "FILE": line 2: Tabs are not allowed as indentation',
    ],
    [
      "invalid TOML",
      "toml",
      `allowed-sdk-keys = "${KEY}"\nhttp-port: 1\n`,
      '--config "FILE": line 2: illegal character in key',
    ],
    [
      "a list of all",
      "yaml",
      "- http-port",
      '--config "FILE": invalid content (expected lines of name: value)',
    ],
    [
      "another kind of file",
      "ini",
      "http-port=1",
      '--config "FILE": unknown file type (expected .yaml, .yml or .toml)',
    ],
  ];
  test.each(cases)("%s", async (_, ending, text, message) => {
    expect(await refusalOf(files.write(text, ending))).toBe(`error: ${message}`);
  });

  test("an invalid MODE, if no argument overrides it", async () => {
    const path = files.write("mode: htp\ncache: disabled\n");
    const { exitCode, stderr } = await runRelay(["--config", path]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 2,
      stderr: `error: invalid value "htp" for mode in ${path} (expected grpc-and-http, grpc or http; did you mean http?)\n`,
    });
  });

  test("a missing or unreadable file, or a folder", async () => {
    const missing = join(files.folder, "missing.yaml");
    expect(await refusalOf(missing)).toBe('error: --config "FILE": no such file or directory');
    const directory = join(files.folder, "folder.yaml");
    mkdirSync(directory);
    expect(await refusalOf(directory)).toBe('error: --config "FILE": is a directory');
    if (process.getuid?.() === 0) return;
    const closed = files.write("http-port: 1");
    chmodSync(closed, 0o000);
    expect(await refusalOf(closed)).toBe('error: --config "FILE": permission denied');
  });

  test("the error names SFP_CONFIG if that sets the file", async () => {
    const env = { SFP_CONFIG: join(files.folder, "missing.yaml") };
    const { exitCode, stderr }: FinishedRun = await runRelay(["http", "disabled"], env);
    expect(exitCode).toBe(2);
    expect(stderr).toBe(`error: SFP_CONFIG "${env.SFP_CONFIG}": no such file or directory\n`);
  });
});
