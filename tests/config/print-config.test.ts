import { afterAll, describe, expect, test } from "bun:test";
import { parse } from "yaml";
import { OPTIONS } from "../../src/config/options.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { runRelay } from "../support/relay/relay-process.ts";

const files = new ConfigFiles();
afterAll(() => files[Symbol.dispose]());

const KEYS = ["secret-printed-0123456789", "secret-another-0123456789"];

async function print(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await runRelay([...args, "--print-config"], env);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return stdout;
}

describe("--print-config", () => {
  test("shows every option with its value or as not set, and the source of each value", async () => {
    const stdout = await print(["grpc", "redis", "-p", "07", "--debug-logging"]);
    for (const { name } of OPTIONS.filter((option) => option.name !== "config")) {
      expect(stdout).toMatch(new RegExp(`^(${name}: \\S+  # \\S+|# ${name} is not set)$`, "m"));
    }
    expect(stdout).toContain("\npolling-interval-in-s: 7  # --polling-interval-in-s\n");
    expect(stdout).toContain("\ndebug-logging: true  # --debug-logging\n");
  });

  test("prints a file for --config, which results in the same configuration", async () => {
    const env = { SFP_MANAGEMENT_PORT: "" };
    const args = [
      "http",
      "local",
      "--local-cache-path=/tmp/a folder: # of ours",
      "--cors-allowed-origins=https://a.example,https://b.example",
      "--log-event-dedupe=0",
      "--public-url",
      "https://relay.example/#not-a-comment",
      "--http2-max-concurrent-streams=7",
      "--preload-sdk-keys",
      `@${files.write(KEYS.join("\n"), "txt")}`,
    ];
    const first = await print(args, env);
    const path = files.write(first);
    const second = await print(["--config", path], env);
    expect(second.replaceAll(path, "FILE")).toBe(
      first.replaceAll(/^([\w-]+: .*) {2}# \S+$/gm, (_, setting) => `${setting}  # FILE`),
    );
    expect(parse(second)).toEqual(parse(first));
    expect(parse(first)).toMatchObject({ mode: "http", "local-cache-path": "/tmp/a folder: # of ours" });
  });

  test("hides secrets, and prints their lines as comments", async () => {
    const env = {
      SFP_ALLOWED_SDK_KEYS: KEYS.join(","),
      REDIS_URL: "redis://someone:pass-word@redis.example:6379/0",
      REDIS_CLUSTER_NODES: "",
      HTTPS_PROXY: "http://someone:pass-word@proxy.example",
      STATSIG_ENDPOINT: "https://someone:pass-word@upstream.example/base",
      SFP_X509_SERVER_KEY_PASSPHRASE: "pass-word",
    };
    const stdout = await print(
      [
        "http",
        "redis",
        "--preload-sdk-keys",
        KEYS[0] ?? "",
        "--public-url=https://u:pass-word@relay.example",
      ],
      env,
    );
    for (const secret of [...KEYS, "pass-word"]) expect(stdout).not.toContain(secret);
    expect(stdout).toMatch(
      /^# allowed-sdk-keys: secret-pri\*\w{6},secret-ano\*\w{6} {2}# SFP_ALLOWED_SDK_KEYS, secrets hidden$/m,
    );
    expect(stdout).toMatch(
      /^# preload-sdk-keys: secret-pri\*\w{6} {2}# --preload-sdk-keys, secrets hidden$/m,
    );
    expect(stdout).toContain("\n# public-url: https://…@relay.example  # --public-url, secrets hidden\n");
    expect(stdout).toContain("\n# STATSIG_ENDPOINT=https://…@upstream.example/base\n");
    expect(stdout).toContain("\n# HTTPS_PROXY=http://…@proxy.example\n");
    expect(stdout).toContain("\n# SFP_X509_SERVER_KEY_PASSPHRASE=…\n");
    expect(Object.keys(parse(stdout))).not.toContain("allowed-sdk-keys");
  });

  test("lists the variables that are set, and those that are unknown", async () => {
    const env = { LOG_EVENT_DEDUPE_CACHE_LIMIT: "5", SFP_POLING_INTERVAL: "1" };
    const stdout = await print(["http", "disabled"], env);
    expect(stdout).toContain("\n# LOG_EVENT_DEDUPE_CACHE_LIMIT=5\n");
    expect(stdout).toContain("\n# SFP_POLING_INTERVAL: unknown environment variable, ignored");
    expect(stdout).not.toContain("REDIS_");
  });

  test("names variables that are likely wrong", async () => {
    const stdout = await print(["http", "disabled"], { SFP_HTTP_PORT: "tcp://10.0.0.1:8000" });
    expect(stdout).toContain("\n# SFP_HTTP_PORT is likely wrong: it is a service link of Kubernetes, ");
    expect(stdout).toContain("\nhttp-port: 8000  # default\n");
  });

  test("fails as a start does if the configuration is invalid", async () => {
    const wrong = await runRelay(["http", "disabled", "--print-config", "-p", "-1"]);
    expect(wrong).toEqual({
      exitCode: 2,
      stdout: "",
      stderr:
        'error: invalid value "-1" for --polling-interval-in-s (expected a whole number from 1 to 86400)\n',
    });
    expect((await runRelay(["http", "disabled", "--print-config", "--enforce-mtls"])).exitCode).toBe(1);
    expect((await runRelay(["http", "--print-config"])).stderr).toContain("missing <CACHE>");
    expect((await runRelay(["demo", "--print-config"])).stderr).toContain(
      "--print-config is not an option of demo",
    );
  });
});
