import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { type RelayOptions, runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { startUpstream } from "../support/upstream/upstream.ts";
import { FILES, WRONG_INPUTS } from "./wrong-inputs.rows.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "sfp-wrong-")));
afterAll(() => rmSync(folder, { recursive: true }));
for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), content);

const filled = (text: string) => text.replaceAll("FOLDER", folder);

describe("a wrong input ends with exit code 2 and one line that says what is right", () => {
  test.each(WRONG_INPUTS.map((row) => [row.name, row] as const))(
    "%s",
    async (_, { args = [], env, error }) => {
      const finished = await runRelay(args.map(filled), { SFP_MANAGEMENT_PORT: "", ...env });
      expect(finished).toEqual({ exitCode: 2, stdout: "", stderr: `error: ${filled(error)}\n` });
    },
  );

  test("each row is another one", () => {
    expect(new Set(WRONG_INPUTS.map(({ name }) => name)).size).toBe(WRONG_INPUTS.length);
  });
});

const SLOWLY = { withinMs: 20_000 };

/** Starts a relay, which must serve, and waits for a line. */
async function expectWarning(line: string, options: Omit<RelayOptions, "upstream">): Promise<void> {
  await using upstream = await startUpstream();
  await using relay = await startRelayProcess({ upstream, ...options });
  await eventually(() => expect(relay.output()).toContain(line), SLOWLY);
  expect((await fetch(`${relay.httpUrl}/v1/health`)).status).toBe(200);
}

const LIKELY_WRONG = "WARN  environment variable is likely wrong";
const SERVICE_LINK =
  'reason="it is a service link of Kubernetes, so it is ignored (set enableServiceLinks: false in the pod spec, or rename the service)"';
const EXPECTED_PROXY = "(expected such as http://proxy.example:3128)";

test("a management address that this machine does not have is named by its own option", async () => {
  const args = ["http", "disabled", "--bind-address", "127.0.0.1", "--http-port", "0"];
  const finished = await runRelay([
    ...args,
    "--management-port",
    "8001",
    "--management-address",
    "192.0.2.1",
  ]);
  expect(finished).toMatchObject({
    exitCode: 1,
    stderr:
      'error: cannot listen on --management-port 8001 of --management-address "192.0.2.1": this machine has no such address\n',
  });
});

test("a local backup whose folder is a file does not keep a relay from serving, and is named", async () => {
  const args = ["--local-cache-path", join(folder, "empty.txt")];
  await expectWarning("a part of the path is a file, not a folder", { args, cache: "local" });
});

describe("what other programs or Kubernetes set does not keep a relay from starting, and is named", () => {
  test.each([
    [
      "a service named sfp-grpc",
      { SFP_GRPC_PORT: "tcp://10.0.0.1:50051" },
      `${LIKELY_WRONG} variable=SFP_GRPC_PORT ${SERVICE_LINK}`,
    ],
    [
      "a service named redis-enterprise",
      { REDIS_ENTERPRISE_PORT: "tcp://10.0.0.1:6379" },
      `${LIKELY_WRONG} variable=REDIS_ENTERPRISE_PORT ${SERVICE_LINK}`,
    ],
    [
      "a SOCKS proxy",
      { ALL_PROXY: "socks5://user:pa55word@127.0.0.1:9" },
      `${LIKELY_WRONG} variable=ALL_PROXY reason="SOCKS proxies are not supported, so it is ignored ${EXPECTED_PROXY}"`,
    ],
    [
      "a proxy of another scheme",
      { http_proxy: "ftp://127.0.0.1:9" },
      `${LIKELY_WRONG} variable=http_proxy reason="the scheme ftp:// is ignored ${EXPECTED_PROXY}"`,
    ],
    [
      "a proxy that is no URL",
      { HTTPS_PROXY: ":::" },
      `${LIKELY_WRONG} variable=HTTPS_PROXY reason="it is not the URL of a proxy, so it is ignored ${EXPECTED_PROXY}"`,
    ],
    [
      "a proxy without a port",
      { HTTPS_PROXY: "foo" },
      `${LIKELY_WRONG} variable=HTTPS_PROXY reason="it has no port, so the proxy is foo:80 (write http://foo:3128 for another port)"`,
    ],
    [
      "an exception with a star",
      { HTTPS_PROXY: "http://127.0.0.1:9", NO_PROXY: "localhost, *.example.com" },
      `${LIKELY_WRONG} variable=NO_PROXY reason="the entry *.example.com matches no host (write .example.com, without the star)"`,
    ],
    [
      "an exception with a scheme",
      { HTTPS_PROXY: "http://127.0.0.1:9", no_proxy: "http://relay.example/" },
      `${LIKELY_WRONG} variable=no_proxy reason="the entry http://relay.example/ matches no host (write relay.example, without the scheme)"`,
    ],
    [
      "a version at the end of a URL",
      { LOG_EVENT_STATSIG_ENDPOINT: "http://127.0.0.1:9/v1" },
      `${LIKELY_WRONG} variable=LOG_EVENT_STATSIG_ENDPOINT reason="paths such as /v2/download_config_specs are added to it (write http://127.0.0.1:9, unless it needs /v1 as well)"`,
    ],
    [
      "a mistyped variable",
      { SFP_HTTP_POTR: "8000" },
      "WARN  unknown environment variable, ignored variable=SFP_HTTP_POTR nearest=SFP_HTTP_PORT",
    ],
  ])("%s", async (_, env, line) => {
    await expectWarning(line, { env });
  });

  test("the other service links of a service named sfp are not mentioned", async () => {
    await using upstream = await startUpstream();
    const env = {
      SFP_SERVICE_HOST: "10.0.0.1",
      SFP_SERVICE_PORT: "8000",
      SFP_SERVICE_PORT_HTTP: "8000",
      SFP_PORT: "tcp://10.0.0.1:8000",
      SFP_PORT_8000_TCP: "tcp://10.0.0.1:8000",
      SFP_PORT_8000_TCP_PROTO: "tcp",
      SFP_PORT_8000_TCP_PORT: "8000",
      SFP_PORT_8000_TCP_ADDR: "10.0.0.1",
      // The last line of the start: all others are there once it is.
      SFP_LAST: "1",
    };
    await using relay = await startRelayProcess({ upstream, env });
    await eventually(() => expect(relay.output()).toContain("variable=SFP_LAST"), SLOWLY);
    expect(relay.output().match(/variable=/g)).toHaveLength(1);
  });

  test("a proxy that is ignored is not used", async () => {
    await using upstream = await startUpstream();
    const sdkKey = "secret-without-proxy";
    const env = { HTTP_PROXY: "socks5://127.0.0.1:9", http_proxy: ":::" };
    await using relay = await startRelayProcess({ upstream, env, args: ["--preload-sdk-keys", sdkKey] });
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(0), SLOWLY);
    expect(relay.output()).not.toContain("through_proxy");
  });
});

describe("keys of another kind than server SDK keys are preloaded, and named", () => {
  test.each([
    ["a client SDK key", "secret-one,client-0123456789", "sdk_keys=client-0*"],
    ["a key with a blank inside", "secret-one two-halves", "sdk_keys=two-h*"],
  ])("%s", async (_, keys, field) => {
    const line = `WARN  preloaded keys do not begin with secret-, as server SDK keys do ${field}`;
    await expectWarning(line, { args: ["--preload-sdk-keys", keys] });
  });
});

describe("harmless differences are accepted", () => {
  const print = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const { exitCode, stdout, stderr } = await runRelay([...args, "--print-config"], env);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    return stdout;
  };

  test("words in upper case", async () => {
    const env = { SFP_CACHE: "Redis", SFP_DEBUG_LOGGING: "True", SFP_REDIS_KEY_SCHEMA: "V4" };
    const stdout = await print(["HTTP", "--log-level", "WARN", "--fleet-polling=TRUE"], env);
    for (const line of ["mode: http  #", "cache: redis  #", "log-level: warn  #", "fleet-polling: true  #"]) {
      expect(stdout).toContain(`${line}`);
    }
    expect(stdout).toContain("debug-logging: true  #");
  });

  test("a URL with blanks around it, a user and a password", async () => {
    await print(["http", "disabled"], { STATSIG_ENDPOINT: " https://user:password@relay.example\n" });
  });

  test.each([
    ["line ends of Windows", "secret-one\r\nsecret-two\r\n"],
    ["a byte order mark", "\ufeffsecret-one\nsecret-two\n"],
    ["empty elements", "secret-one,,secret-two,\n"],
  ])("a key file with %s", async (name, text) => {
    await using upstream = await startUpstream();
    const path = join(folder, `${name.replaceAll(" ", "-")}.txt`);
    writeFileSync(path, text);
    await using relay = await startRelayProcess({ upstream, args: ["--preload-sdk-keys", `@${path}`] });
    const answer = await (await fetch(`${relay.httpUrl}/v1/ready`)).text();
    expect(answer).toContain("2 of 2 preloaded keys");
  });

  test("one port on different addresses", async () => {
    const ports = ["--http-port", "9000", "--management-port", "9000"];
    await print([
      "http",
      "disabled",
      ...ports,
      "--bind-address",
      "127.0.0.1",
      "--management-address",
      "127.0.0.2",
    ]);
  });
});
