import { afterAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const keysFile = (text: string): string => {
  const path = join(folder, `keys-${Math.random()}.txt`);
  writeFileSync(path, text);
  return path;
};

describe("an invalid command line exits 2 with one line that names the option, the value and what is expected", () => {
  const missing = join(folder, "missing.txt");
  const cases: readonly [string, readonly string[], RegExp][] = [
    ["an empty port that the mode does not use", ["http", "disabled", "--grpc-port="], /--grpc-port/],
    [
      "an unknown option",
      ["http", "disabled", "--poling-interval"],
      /unknown option --poling-interval \(did you mean --polling-interval-in-s\?\)/,
    ],
    [
      "a mistyped option",
      ["http", "disabled", "--polling-interval", "5"],
      /did you mean --polling-interval-in-s\?/,
    ],
    ["an unknown short option", ["http", "disabled", "-x"], /unknown option -x/],
    ["a missing value", ["http", "disabled", "-p"], /missing value for -p/],
    ["an option in place of a value", ["-p", "--debug-logging", "http", "disabled"], /missing value for -p/],
    [
      "a value that is not a number",
      ["http", "disabled", "-p", "ten"],
      /invalid value "ten" for --polling-interval-in-s.* 1 to 86400/,
    ],
    ["a negative value", ["http", "disabled", "-p", "-5"], /invalid value "-5" for --polling-interval-in-s/],
    [
      "a value out of range",
      ["http", "disabled", "--http-port=70000"],
      /invalid value "70000" for --http-port.*0 to 65535/,
    ],
    ["an empty value", ["http", "disabled", "--http-port="], /invalid value "" for --http-port/],
    [
      "a flag with an invalid value",
      ["http", "disabled", "--debug-logging=maybe"],
      /invalid value "maybe" for --debug-logging \(expected true or false\)/,
    ],
    [
      "a flag with no value after =",
      ["http", "disabled", "--debug-logging="],
      /invalid value "" for --debug-logging/,
    ],
    [
      "--help with a wrong value",
      ["--help=maybe"],
      /invalid value "maybe" for --help \(expected true or false\)/,
    ],
    [
      "-h with a wrong value",
      ["-h=no"],
      /invalid value "no" for -h \(expected true or false; did you mean false\?\)/,
    ],
    [
      "--version with a wrong value",
      ["--version=2"],
      /invalid value "2" for --version \(expected true or false\)/,
    ],
    [
      "--print-config with a wrong value",
      ["http", "disabled", "--print-config=y"],
      /invalid value "y" for --print-config/,
    ],
    [
      "doctor's --json with a wrong value",
      ["doctor", "--json=maybe"],
      /invalid value "maybe" for --json \(expected true or false\)/,
    ],
    [
      "healthcheck with a wrong flag",
      ["healthcheck", "--debug-logging=on"],
      /invalid value "on" for --debug-logging/,
    ],
    ["demo with a wrong flag", ["demo", "--debug-logging=on"], /invalid value "on" for --debug-logging/],
    [
      "--enforce-tls with a wrong value",
      ["http", "disabled", "--enforce-tls=maybe"],
      /invalid value "maybe" for --enforce-tls/,
    ],
    [
      "--enforce-tls with another word",
      ["http", "disabled", "--enforce-tls", "yes"],
      /unexpected argument "yes"/,
    ],
    ["an option given twice", ["http", "disabled", "-p", "5", "-p6"], /-p is given more than once/],
    [
      "an option given by two names",
      ["http", "disabled", "--update-batch-size", "5", "--max-in-flight=6"],
      /--max-in-flight is given more than once/,
    ],
    ["no MODE", ["-p", "5"], /missing <MODE> \(expected grpc-and-http, grpc or http\)/],
    ["no CACHE", ["http"], /missing <CACHE>/],
    [
      "a wrong MODE",
      ["htp", "disabled"],
      /invalid value "htp" for <MODE> \(expected grpc-and-http, grpc or http; did you mean http\?\)/,
    ],
    ["a wrong CACHE", ["http", "memcached"], /invalid value "memcached" for <CACHE>/],
    ["a third positional", ["http", "disabled", "more"], /unexpected argument "more"/],
    ["an argument to demo", ["demo", "http"], /unexpected argument "http" \(demo takes only options\)/],
    [
      "a missing key file",
      ["http", "disabled", "--preload-sdk-keys", `@${missing}`],
      /missing\.txt": no such file/,
    ],
    [
      "a malformed key",
      ["http", "disabled", "--preload-sdk-keys", "secret-a,sec ret/b"],
      /entry 3 is not an SDK key/,
    ],
    [
      "more keys than the maximum",
      ["-m1", "http", "disabled", "--preload-sdk-keys", "a,b"],
      /lists 2 keys \(expected at most 1, /,
    ],
  ];
  test.each(cases)("%s", async (_, args, message) => {
    const { exitCode, stdout, stderr } = await runRelay(args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });

  test("an invalid variable is reported by its own name", async () => {
    const { exitCode, stderr } = await runRelay(["http", "disabled"], { SFP_MAX_URL_LENGTH: "0" });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('invalid value "0" for SFP_MAX_URL_LENGTH');
  });
});

describe("a port that cannot be opened exits 1 with one line", () => {
  test.each(["http", "grpc"] as const)("the %s port is in use", async (protocol) => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const ports = { http: "0", grpc: "0", [protocol]: String(port) };
    const args = ["--bind-address", "127.0.0.1", "--http-port", ports.http, "--grpc-port", ports.grpc];
    const { exitCode, stderr } = await runRelay([...args, "grpc-and-http", "disabled"]);
    taken.close();
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: `error: cannot listen on --${protocol}-port ${port} of --bind-address "127.0.0.1": the port is in use\n`,
    });
  });

  test("another relay uses the HTTP port", async () => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({ upstream });
    const args = ["--bind-address", "127.0.0.1", "--http-port", String(relay.httpPort), "--grpc-port", "0"];
    const { exitCode, stderr } = await runRelay([...args, "grpc-and-http", "disabled"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`cannot listen on --http-port ${relay.httpPort}`);
  });

  describe.each(["http", "grpc"])("the bind address does not exist on this machine (%s)", (mode) => {
    test.each(["192.0.2.1", "256.0.0.1", "no-such-host.invalid"])("%s", async (address) => {
      const args = ["--bind-address", address, "--http-port", "0", "--grpc-port", "0", mode, "disabled"];
      const { exitCode, stderr } = await runRelay(args);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^error: cannot listen on .*: this machine has no such address\n$/);
      expect(stderr).toContain(address);
    });
  });
});

describe("options take effect", () => {
  test("a variable sets an option, and a flag overrides it", async () => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({
      upstream,
      args: ["--bind-address", "127.0.0.1"],
      env: { SFP_BIND_ADDRESS: "192.0.2.1", SFP_DEBUG_LOGGING: "true" },
    });
    expect(relay.httpUrl).toStartWith("http://127.0.0.1:");
    await fetch(`${relay.httpUrl}/v1/health`);
    await eventually(() => {
      expect(relay.output()).toContain("http request method=GET route=/v1/health");
    });
  });

  test("SDK keys are read from a file, and the relay listens on IPv6 and IPv4 by default", async () => {
    await using upstream = await startUpstream();
    const path = keysFile("secret-one,\nsecret-two\n secret-one");
    await using relay = await startRelayProcess({
      upstream,
      args: ["--preload-sdk-keys", `@${path}`, "--bind-address", "::"],
    });
    const port = relay.httpPort;
    const reason = await (await fetch(`http://127.0.0.1:${port}/v1/ready`)).json();
    expect(reason).toEqual({
      code: 503,
      reason: expect.stringMatching(/^2 of 2 preloaded keys have no data yet: \w+\*\w{6}, \w+\*\w{6}$/),
    });
    expect((await fetch(`http://[::1]:${port}/v1/health`)).status).toBe(200);
  });

  test.each([
    ["http", ["http"]],
    ["grpc", ["grpc"]],
    ["grpc-and-http", ["http", "grpc"]],
  ] as const)("mode %s listens for %p", async (mode, protocols) => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({ upstream, mode });
    const listening = [...relay.output().matchAll(/listening protocol=(\w+)/g)].map(
      ([, protocol]) => protocol,
    );
    expect(listening).toEqual([...protocols]);
  });
});
