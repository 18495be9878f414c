import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SETTINGS } from "../../src/config/options.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { exitOf } from "../support/common/exit-of.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { Output } from "../support/common/output.ts";
import { eventually, within } from "../support/common/wait.ts";
import { commandsIn, type GuideBlock, readGuide, variablesIn } from "../support/drop-in/guide.ts";
import { OriginalEntries } from "../support/drop-in/original-entries.ts";
import { ShellSession } from "../support/drop-in/shell-session.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { relayCommand } from "../support/relay/run-relay.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { revision } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const STEPS = 10;
const sdkKey = "secret-of-a-company-that-swaps";
/** On several lines, as in a file of variables. */
const warmUpKeys = JSON.stringify([{ sdk_key: sdkKey, path: "/v2/download_config_specs" }], undefined, 2);
const guide = readGuide();

test("the guide has ten steps, each with commands, after a block with their variables", () => {
  expect(guide[0]).toMatchObject({ step: 0, kind: "variables" });
  const withCommands = new Set(guide.slice(1).map(({ step }) => step));
  expect([...withCommands]).toEqual(Array.from({ length: STEPS }, (_, at) => at + 1));
});

test("the relay beside the original has every port elsewhere, also those with TLS", () => {
  const [variables] = guide;
  const [, flags = ""] = /^export NEW_PORTS="(.*)"/m.exec(variables?.text ?? "") ?? [];
  const options = SETTINGS.map(({ name }) => name).filter((name) => name.endsWith("-port"));
  expect(options.length).toBe(5);
  for (const name of options) expect(flags).toMatch(new RegExp(`--${name} \\$NEW_`));
});

describeWith(
  "bash",
  "curl",
  "redis-server",
  "redis-cli",
)("the guide, beside a stand-in of the original", () => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-swap-"));
  const ports = { old: 0, http: 0, grpc: 0, https: 0, grpcs: 0, page: 0, finalGrpc: 0, finalPage: 0 };
  let redis: RedisServer;
  let upstream: Upstream;
  let original: ChildProcess;
  let shell: ShellSession;

  beforeAll(async () => {
    for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
    [redis, upstream] = await Promise.all([RedisServer.start(), startUpstream()]);
    publish(0);
    original = await startOriginal();
    shell = new ShellSession(folder, shellEnvironment());
  }, 30_000);

  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    original?.kill("SIGKILL");
    for (const each of [upstream, redis]) await each?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test("its variables are those that this test fills in", () => {
    const [variables] = guide;
    if (variables === undefined) throw new Error("no block with variables");
    expect(variablesIn(variables).toSorted()).toEqual(Object.keys(placeholders()).toSorted());
  });

  test("1: the arguments and the variables of the original are recorded, whatever a value contains", async () => {
    const printed = await runStep(1);
    expect(printed).toContain("grpc-and-http redis --polling-interval-in-s 1");
    const recorded = readFileSync(join(folder, "old.env"), "utf8");
    expect(recorded).toContain(`STATSIG_ENDPOINT='${upstream.url}'\n`);
    expect(recorded).toContain(String.raw`DD_SERVICE='flags of '\''ours'\'' & $HOME'`);
    expect(recorded).toContain(`SFP_STARTUP_WARMUP_KEYS_JSON='${warmUpKeys}'\n`);
    expect(recorded).not.toMatch(/^PATH=/m);
  });

  test("2: the relay takes the options and the variables of the original", async () => {
    const printed = await runStep(2);
    expect(printed).toContain("mode: grpc-and-http");
    expect(printed).toContain("polling-interval-in-s: 1 ");
    expect(printed).toContain("double-write-cache-for-legacy-key: true");
    expect(await shell.run("echo $DD_SERVICE")).toBe("flags of 'ours' & $HOME\n");
    expect(await shell.run('echo "$SFP_STARTUP_WARMUP_KEYS_JSON"')).toBe(`${warmUpKeys}\n`);
  });

  test("3: doctor finds upstream, the SDK key and Redis in order", async () => {
    const printed = await runStep(3);
    for (const subject of ["upstream", "SDK keys", "Redis"]) {
      expect(printed).toMatch(new RegExp(`^ok +${subject} `, "m"));
    }
    expect(printed).not.toContain(sdkKey);
  });

  test("4: Redis has the entries and the leader of the original", async () => {
    const printed = await runStep(4);
    const entries = new OriginalEntries(redis, sdkKey);
    for (const version of ["v1", "v2"] as const) {
      expect(printed).toContain(entries.keyOf("v4", version, "plain_text"));
    }
    expect(printed.trimEnd().split("\n").at(-1)).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("5: a relay starts beside the original, with its arguments and variables", async () => {
    await runStep(5);
    expect(original.exitCode).toBeNull();
    expect(readFileSync(join(folder, "relay.log"), "utf8")).toContain(" serving");
  });

  test("6: both send the same bytes of the same version, and no update to a client that has it", async () => {
    const printed = await runStep(6);
    const { lcut } = revision(sdkKey, 0);
    expect(printed.match(new RegExp(`^(?:old|new)\\.headers:x-since-time: ${lcut}`, "gim"))?.length).toBe(4);
    expect(printed.match(/^\{"has_updates":false\}$/gm)?.length).toBe(2);
    expect(readFileSync(join(folder, "new.json"), "utf8")).toBe(JSON.stringify(specV2(revision(sdkKey, 0))));
  });

  test("7: gRPC answers grpcurl's requests, and the same RPC answers curl", async () => {
    await runStep(7);
    const answered = JSON.parse(readFileSync(join(folder, "rpc.json"), "utf8")) as { spec: string };
    expect(JSON.parse(answered.spec)).toEqual(specV1(revision(sdkKey, 0)));
    const calls = blocksOf(7, "grpcurl").flatMap(commandsIn);
    expect(calls.length).toBe(2);
    using client = new GrpcClient(`http://127.0.0.1:${ports.grpc}`);
    for (const call of calls) await grpcurl(call, client);
  });

  test("8: metrics and the status page are there, and nothing was logged as a warning", async () => {
    const printed = await runStep(8);
    expect(printed).toMatch(/^statsig_forward_proxy_HttpServerRequestSuccess/m);
    expect(printed).toMatch(/^statsig_forward_proxy_ConfigSpecConfirmedAgeS/m);
    expect(printed).toContain("no warnings");
    expect(() => JSON.parse(readFileSync(join(folder, "status.json"), "utf8"))).not.toThrow();
  });

  test("9: the relay replaces the original on its port, and serves a newer version", async () => {
    publish(1);
    await runStep(9);
    await within(exitOf(original), 10_000, "the end of the original");
    for (const [version, config] of newestConfigs()) {
      const url = `http://127.0.0.1:${ports.old}/${version}/download_config_specs/${sdkKey}.json`;
      // It may start with the version in Redis, and then polls.
      await eventually(async () => expect(await (await fetch(url)).json()).toEqual(config));
    }
  });

  test("10: an original that starts again finds the newest version in its keys, and soon a free leader key", async () => {
    const ttlS = Number((await runStep(10)).trim());
    expect(ttlS).toBeLessThanOrEqual(70);
    const entries = new OriginalEntries(redis, sdkKey);
    for (const [version, config] of newestConfigs()) {
      const read = await entries.read("v4", version);
      expect(read).toEqual({
        encoding: "plain_text",
        lcut: revision(sdkKey, 1).lcut,
        config: JSON.stringify(config),
      });
    }
  });

  const newestConfigs = () =>
    [
      ["v1", specV1(revision(sdkKey, 1))],
      ["v2", specV2(revision(sdkKey, 1))],
    ] as const;

  function publish(number: number): void {
    upstream.publish(sdkKey, "v1", specV1(revision(sdkKey, number)));
    upstream.publish(sdkKey, "v2", specV2(revision(sdkKey, number)));
  }

  async function startOriginal(): Promise<ChildProcess> {
    const script = join(import.meta.dir, "../support/drop-in/original-process.ts");
    const args = [script, ...oldArgs()];
    const child = spawn(process.execPath, args, {
      env: {
        PATH: process.env["PATH"] ?? "",
        STATSIG_ENDPOINT: upstream.url,
        LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
        REDIS_ENTERPRISE_HOST: "127.0.0.1",
        REDIS_ENTERPRISE_PORT: String(redis.port),
        DD_SERVICE: "flags of 'ours' & $HOME",
        SFP_STARTUP_WARMUP_KEYS_JSON: warmUpKeys,
        STAND_IN_PORT: String(ports.old),
        STAND_IN_KEY: sdkKey,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = new Output(child.stdout, child.stderr);
    await within(
      output.until((text) => text.includes("serving") || undefined),
      25_000,
      output.text,
    );
    return child;
  }

  /** The environment of the reader's shell: `statsig-forward-proxy` on the PATH, and the ports of the original's place. */
  function shellEnvironment(): Record<string, string> {
    const bin = join(folder, "bin");
    mkdirSync(bin);
    const command = relayCommand().map((word) => `'${word}'`);
    writeFileSync(join(bin, "statsig-forward-proxy"), `#!/bin/sh\nexec ${command.join(" ")} "$@"\n`);
    chmodSync(join(bin, "statsig-forward-proxy"), 0o755);
    return {
      ...placeholders(),
      PATH: `${bin}:${process.env["PATH"] ?? ""}`,
      HOME: folder,
      SFP_BIND_ADDRESS: "127.0.0.1",
      SFP_HTTP_PORT: String(ports.old),
      SFP_GRPC_PORT: String(ports.finalGrpc),
      SFP_MANAGEMENT_PORT: String(ports.finalPage),
    };
  }

  /** Values for the variables of the guide's first block. */
  function placeholders(): Record<string, string> {
    return {
      OLD_PID: String(original?.pid),
      OLD_ARGS: oldArgs().join(" "),
      OLD_URL: `http://127.0.0.1:${ports.old}`,
      NEW_HTTP: String(ports.http),
      NEW_GRPC: String(ports.grpc),
      NEW_HTTPS: String(ports.https),
      NEW_GRPCS: String(ports.grpcs),
      NEW_PAGE: String(ports.page),
      NEW_PORTS: `--http-port ${ports.http} --grpc-port ${ports.grpc} --management-port ${ports.page}`,
      NEW_URL: `http://127.0.0.1:${ports.http}`,
      KEY: sdkKey,
      OLD_REDIS: `redis://127.0.0.1:${redis.port}`,
      IMAGE: "registry.example.com/statsig-forward-proxy",
      TAG: "0.1.0",
    };
  }

  async function runStep(step: number): Promise<string> {
    let printed = "";
    for (const { text } of blocksOf(step, "shell")) printed += await shell.run(text);
    return printed;
  }

  /** Does what grpcurl would do with the arguments of one of the guide's lines. */
  async function grpcurl(call: string, client: GrpcClient): Promise<void> {
    expect(call).toMatch(/^grpcurl -plaintext .*127\.0\.0\.1:\$NEW_GRPC /);
    const method = call.split(" ").at(-1);
    if (method === "grpc.health.v1.Health/Check") {
      expect(await client.checkHealth()).toBe("SERVING");
      return;
    }
    expect(method).toBe("statsig_forward_proxy.StatsigForwardProxy/getConfigSpec");
    const body = /-d "(\{.*\})"/.exec(call)?.[1]?.replaceAll('\\"', '"').replace("$KEY", sdkKey) ?? "";
    const { message } = await client.getConfigSpec(JSON.parse(body));
    expect(JSON.parse(message.spec)).toEqual(specV2(revision(sdkKey, 0)));
  }
});

function oldArgs(): readonly string[] {
  return ["grpc-and-http", "redis", "--polling-interval-in-s", "1", "--double-write-cache-for-legacy-key"];
}

function blocksOf(step: number, kind: GuideBlock["kind"]): readonly GuideBlock[] {
  return guide.filter((block) => block.step === step && block.kind === kind);
}
