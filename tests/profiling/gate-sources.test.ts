import { expect, test } from "bun:test";
import { maskSdkKey, type SdkKey } from "../../src/access/sdk-key.ts";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import {
  evaluated,
  expectTurns,
  GATE_ENV,
  GATE_KEY,
  gateOf,
  gateSpecs,
  PROFILING_GATE,
  publishSwitch,
  turnsOf,
} from "../support/profiling/gate-project.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { startOperatedRelay } from "../support/relay/operated-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { lcutOf } from "../support/upstream/gate-versions.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const env = GATE_ENV;

const PATIENT = { withinMs: 20_000 };

test("a relay that starts while upstream is down has the gate of its backup, and follows upstream afterwards", async () => {
  await using upstream = await startUpstream();
  using files = new ConfigFiles();
  const options = {
    ...({ upstream, env, cache: "local", mode: "http" } as const),
    args: ["--local-cache-path", files.folder, "--allowed-sdk-keys", "secret-of-clients-0123456789"],
  };
  publishSwitch(upstream, 1, true);
  {
    await using relay = await startRelayProcess(options);
    await expectTurns(relay, ["on 1"]);
  }
  upstream.misbehave(status(503));
  await using relay = await startRelayProcess(options);
  await expectTurns(relay, ["on 1"]);
  await eventually(() => expect(relay.output()).toMatch(/config specs loaded .*source=local/));
  publishSwitch(upstream, 2, false);
  upstream.behave();
  await expectTurns(relay, ["on 1", "off 2"]);
});

test("offline, the gate is read from files, and from those that change", async () => {
  using folder = new SpecFolder();
  const write = (number: number, isOn: boolean) =>
    folder.write("gate.json", gateSpecs(number, [gateOf(PROFILING_GATE, undefined, isOn)]));
  write(1, true);
  const args = ["--offline", "--bootstrap-path", folder.path];
  await using relay = await startRelayProcess({ env, args, mode: "http" });
  await expectTurns(relay, ["on 1"]);
  write(2, false);
  await expectTurns(relay, ["on 1", "off 2"]);
});

test("offline, a missing file is nothing to report", async () => {
  using folder = new SpecFolder();
  folder.write("other.json", { ...gateSpecs(1, []), hashed_sdk_key_used: "1" });
  const args = ["--offline", "--bootstrap-path", folder.path];
  await using relay = await startRelayProcess({ env, args, mode: "http" });
  const clientKey = "secret-client-0123456789" as SdkKey;
  const response = await fetch(`${relay.httpUrl}/v1/download_config_specs/${clientKey}.json`);
  expect(response.status).toBe(503);
  await eventually(() =>
    expect(relay.output().match(/no bootstrap file for this SDK key.*/g)).toEqual([
      expect.stringContaining(maskSdkKey(clientKey)),
    ]),
  );
});

test("a rolled back version decides as long as it is pinned", async () => {
  await using upstream = await startUpstream();
  publishSwitch(upstream, 1, true);
  await using relay = await startOperatedRelay({
    ...{ upstream, env, mode: "http" },
    args: ["--debug-logging"],
  });
  await expectTurns(relay.relay, ["on 1"]);
  publishSwitch(upstream, 2, false);
  await expectTurns(relay.relay, ["on 1", "off 2"]);
  expect((await relay.order("/v1/rollback", { key: GATE_KEY })).body.result).toBe("done");
  // It is published again, under a newer lcut.
  await eventually(
    () => expect(relay.relay.output()).toContain(`profiling on lcut=${lcutOf(2) + 1}`),
    PATIENT,
  );
  publishSwitch(upstream, 3, false);
  await eventually(() => expect(relay.relay.output()).toContain(`lcut=${lcutOf(3)} served_lcut=`), PATIENT);
  expect(turnsOf(relay.relay)).toHaveLength(3);
  expect((await relay.order("/v1/unpin", { key: GATE_KEY })).status).toBe(200);
  await eventually(() => expect(turnsOf(relay.relay).at(-1)).toBe("off 3"), PATIENT);
});

testsWith("redis-server").test(
  "all relays of a fleet follow the gate, though one of them asks upstream",
  async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    publishSwitch(upstream, 1, false);
    const options = {
      ...({ upstream, cache: "redis", mode: "http" } as const),
      args: ["--fleet-polling", "--debug-logging"],
      env: { ...env, REDIS_URL: `redis://127.0.0.1:${redis.port}` },
    };
    await using one = await startRelayProcess(options);
    await evaluated(one, 1);
    await using two = await startRelayProcess(options);
    await evaluated(two, 1);
    upstream.forgetRequests();
    const startedAt = performance.now();
    publishSwitch(upstream, 2, true);
    await Promise.all([expectTurns(one, ["on 2"]), expectTurns(two, ["on 2"])]);
    publishSwitch(upstream, 3, false);
    await Promise.all([expectTurns(one, ["on 2", "off 3"]), expectTurns(two, ["on 2", "off 3"])]);
    const intervals = (performance.now() - startedAt) / 1_000;
    expect(upstream.requests.length).toBeLessThan(1.5 * intervals + 2);
  },
);
