import { afterAll, describe, expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const files = new ConfigFiles();
afterAll(() => files[Symbol.dispose]());

const KEY = "secret-in-the-file-0123456789";

describe.each([
  [
    "YAML",
    "yaml",
    `# as people write it
mode: http
cache: disabled
http-port: 0
bind-address: 127.0.0.1
debug-logging: true
polling-interval-in-s: 2
cors-allowed-origins:
  - https://a.example
  - https://b.example
preload-sdk-keys: [${KEY}, secret-two]
`,
  ],
  [
    "TOML",
    "toml",
    `# as people write it
mode = "http"
cache = "disabled"
http-port = 0
bind-address = "127.0.0.1"
debug-logging = true
polling-interval-in-s = 2
cors-allowed-origins = ["https://a.example", "https://b.example"]
preload-sdk-keys = ["${KEY}", "secret-two"]
`,
  ],
  [
    "YAML with texts alone",
    "yml",
    `mode: "http"\ncache: "disabled"\nhttp-port: "0"\nbind-address: '127.0.0.1'\ndebug-logging: "true"
polling-interval-in-s: "2"\ncors-allowed-origins: https://a.example,https://b.example
preload-sdk-keys: ${KEY},secret-two\n`,
  ],
])("a file in %s", (_, ending, text) => {
  test("sets every option, and MODE and CACHE", async () => {
    await using upstream = await startUpstream();
    const path = files.write(text, ending);
    await using relay = await startRelayProcess({
      upstream,
      isBare: true,
      args: ["--config", path],
    });
    expect(relay.httpUrl).toStartWith("http://127.0.0.1:");
    expect(relay.output()).toMatch(/serving mode=http cache=disabled .*polling_interval_s=2/);
    const answer = await fetch(`${relay.httpUrl}/v1/ready`, { headers: { origin: "https://b.example" } });
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://b.example");
    expect(await answer.text()).toContain("2 of 2 preloaded keys");
    await eventually(() => expect(relay.output()).toContain("http request method=GET"));
    expect(relay.output()).not.toContain(KEY);
  });
});

const printed = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
  const { exitCode, stdout } = await runRelay([...args, "--print-config"], env);
  expect(exitCode).toBe(0);
  return stdout;
};

describe("precedence", () => {
  const path = files.write(
    "mode: grpc\ncache: local\nmax-concurrent-requests: 3\nmax-connections: 3\nmax-url-length: 333\n",
  );
  test("a flag overrides a variable, a variable overrides the file, and the file overrides the default", async () => {
    const env = { SFP_MAX_CONCURRENT_REQUESTS: "2", SFP_MAX_CONNECTIONS: "2", SFP_CACHE: "disabled" };
    const stdout = await printed(["http", "--max-concurrent-requests", "1", "--config", path], env);
    expect(stdout).toContain("mode: http  # <MODE>\n");
    expect(stdout).toContain("cache: disabled  # SFP_CACHE\n");
    expect(stdout).toContain("max-concurrent-requests: 1  # --max-concurrent-requests\n");
    expect(stdout).toContain("max-connections: 2  # SFP_MAX_CONNECTIONS\n");
    expect(stdout).toContain(`max-url-length: 333  # ${path}\n`);
    expect(stdout).toContain("max-header-count: 100  # default\n");
  });

  test("SFP_CONFIG sets the file, and --config overrides it", async () => {
    expect(await printed([], { SFP_CONFIG: path })).toContain(`mode: grpc  # ${path}\n`);
    const other = files.write("mode: http\ncache: disabled\n");
    expect(await printed(["--config", other], { SFP_CONFIG: path })).toContain(`mode: http  # ${other}\n`);
  });

  test("an invalid value is reported by its name in the file", async () => {
    const wrong = files.write("polling-interval-in-s: ten\n");
    const { exitCode, stderr } = await runRelay(["--config", wrong, "http", "disabled"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      `invalid value "ten" for polling-interval-in-s in ${wrong} (expected a whole number from 1 to`,
    );
    const covered = ["--config", wrong, "-p", "5", "http", "disabled"];
    expect(await printed(covered)).toContain("polling-interval-in-s: 5");
  });
});

test("a file with only comments sets nothing", async () => {
  const { exitCode, stdout } = await runRelay([
    "--config",
    files.write("# later\n"),
    "http",
    "disabled",
    "--print-config",
  ]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("http-port: 8000  # default");
});

describe("subcommands read the file", () => {
  test("healthcheck finds the relay that was started with the file, and reports errors of the file", async () => {
    await using upstream = await startUpstream();
    const port = await freePort();
    const path = files.write(`mode: http\ncache: disabled\nhttp-port: 0\nmanagement-port: ${port}\n`);
    const env = { SFP_MANAGEMENT_PORT: "", SFP_CONFIG: path };
    await using _ = await startRelayProcess({ upstream, isBare: true, env });
    const found = await runRelay(["healthcheck"], env);
    expect(found).toMatchObject({ exitCode: 0, stdout: `ready (http://127.0.0.1:${port}/readyz)\n` });
    const wrong = await runRelay(["healthcheck", "--config", files.write("http-port: x\n")]);
    expect([wrong.exitCode, wrong.stdout]).toEqual([1, expect.stringContaining('invalid value "x" for ')]);
  });

  test("doctor reports an invalid file", async () => {
    const { exitCode, stdout } = await runRelay(["doctor", "--config", files.write("http-prot: 1\n")]);
    expect([exitCode, stdout]).toEqual([1, expect.stringContaining("did you mean http-port?")]);
  });
});

test("an error is one line, whatever it quotes", async () => {
  const path = files.write('mode: |\n  http\n  grpc\ncache: "a\\nb"\n"x\\ny": 1\n');
  const { stderr } = await runRelay(["--config", path]);
  expect(stderr).toBe(
    `error: unknown name "x y" in ${path} (expected an option of --help without its dashes)\n`,
  );
});

describe("an option with two names", () => {
  test("is set by either, and --print-config shows its first name", async () => {
    const path = files.write("update-batch-size: 3\nmode: http\ncache: disabled\n", "yaml");
    expect(await printed(["--config", path])).toContain(`max-in-flight: 3  # ${path}\n`);
    const byVariable = await printed(["http", "disabled"], { SFP_UPDATE_BATCH_SIZE: "4" });
    expect(byVariable).toContain("max-in-flight: 4  # SFP_UPDATE_BATCH_SIZE\n");
  });

  test("is set once in a file", async () => {
    const path = files.write("update-batch-size: 3\nmax-in-flight: 3\nmode: http\ncache: disabled\n", "yaml");
    const { exitCode, stderr } = await runRelay(["--config", path]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("max-in-flight is the same option as update-batch-size, which is set as well");
  });

  test("is set once in the environment", async () => {
    const env = { SFP_UPDATE_BATCH_SIZE: "4", SFP_MAX_IN_FLIGHT: "4" };
    const { exitCode, stderr } = await runRelay(["http", "disabled"], env);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      "SFP_UPDATE_BATCH_SIZE is the same option as SFP_MAX_IN_FLIGHT, which is set as well",
    );
  });
});
