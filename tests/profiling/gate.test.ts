import { describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import {
  evaluated,
  expectTurns,
  GATE_ENV,
  GATE_KEY,
  gateOf,
  gateSpecs,
  hasCustomId,
  isInList,
  PROFILING_GATE,
  publishGates,
  publishSwitch,
  turnsOf,
} from "../support/profiling/gate-project.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { lcutOf } from "../support/upstream/gate-versions.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";

const PATIENT = { withinMs: 20_000 };

const start = (upstream: Upstream, options: RelayOptions = {}) =>
  startRelayProcess({ upstream, mode: "http", ...options, env: { ...GATE_ENV, ...options.env } });

const requestSpecs = (relay: RelayProcess, sdkKey: string, version = "v1") =>
  fetch(`${relay.httpUrl}/${version}/download_config_specs/${sdkKey}.json`);

describe("the gate of the project of STATSIG_SERVER_SDK_KEY", () => {
  test("is evaluated without any request of the SDK, and its key is not logged", async () => {
    await using upstream = await startUpstream();
    publishSwitch(upstream, 1, true);
    await using relay = await start(upstream, { args: ["--debug-logging"] });
    await expectTurns(relay, ["on 1"]);
    publishSwitch(upstream, 2, false);
    await expectTurns(relay, ["on 1", "off 2"]);
    expect(relay.output()).not.toContain(GATE_KEY);
    const specs = `/v1/download_config_specs/${GATE_KEY}.json`;
    expect(upstream.requests.filter(({ path }) => path !== specs)).toEqual([]);
  });

  test("is off if it is removed, and a project without it logs nothing", async () => {
    await using upstream = await startUpstream();
    publishGates(upstream, 1, []);
    await using relay = await start(upstream, { args: ["--debug-logging"] });
    await evaluated(relay, 1);
    expect(turnsOf(relay)).toEqual([]);
    publishSwitch(upstream, 2, true);
    await expectTurns(relay, ["on 2"]);
    publishGates(upstream, 3, [gateOf(`${PROFILING_GATE}_2`)]);
    await expectTurns(relay, ["on 2", "off 3"]);
    await eventually(() => expect(relay.output()).toMatch(/gate turned profiling off +lcut=\d+ rule=none/));
  });

  test("is evaluated for the user of the original proxy, whose custom ID podID is HOSTNAME", async () => {
    await using upstream = await startUpstream();
    const publish = (number: number, pods: readonly string[]) =>
      publishGates(upstream, number, [gateOf(PROFILING_GATE, [hasCustomId("podID", pods)])]);
    publish(1, ["relay-1", "relay-2"]);
    await using relay = await start(upstream, { args: ["--debug-logging"] });
    await evaluated(relay, 1);
    publish(2, ["relay-1", "relay-7"]);
    await expectTurns(relay, ["on 2"]);
    publish(3, ["relay-1"]);
    await expectTurns(relay, ["on 2", "off 3"]);
  });

  test("is evaluated for the custom IDs of --statsig-logging-tags, through a segment", async () => {
    await using upstream = await startUpstream();
    const isInSegment = { type: "pass_gate", targetValue: "segment:canaries", idType: "userID" };
    publishGates(upstream, 1, [
      gateOf(PROFILING_GATE, [isInSegment]),
      gateOf("segment:canaries", [hasCustomId("cluster", ["eu-canary"])]),
    ]);
    const args = ["--statsig-logging-tags", "cluster:MY_CLUSTER"];
    await using canary = await start(upstream, { args, env: { MY_CLUSTER: "eu-canary" } });
    await using other = await start(upstream, {
      args: [...args, "--debug-logging"],
      env: { MY_CLUSTER: "eu" },
    });
    await expectTurns(canary, ["on 1"]);
    await evaluated(other, 1);
    expect(turnsOf(other)).toEqual([]);
  });

  test("counts nobody as in an ID list, and says so", async () => {
    await using upstream = await startUpstream();
    const isInSegment = { type: "pass_gate", targetValue: "segment:listed", idType: "userID" };
    publishGates(upstream, 1, [
      gateOf("segment:listed", [isInList("pods_to_profile", "podID")]),
      gateOf(PROFILING_GATE, [isInSegment]),
    ]);
    await using relay = await start(upstream, { args: ["--debug-logging"] });
    await evaluated(relay, 1);
    await eventually(() => expect(relay.output()).toMatch(/uses an ID list.+list=pods_to_profile/));
    expect(turnsOf(relay)).toEqual([]);
  });

  test("stays as it is if a version cannot be evaluated, which is logged once", async () => {
    await using upstream = await startUpstream();
    publishSwitch(upstream, 1, true);
    await using relay = await start(upstream);
    await expectTurns(relay, ["on 1"]);
    for (const number of [2, 3]) {
      const specs = gateSpecs(number, [{ name: PROFILING_GATE, type: "feature_gate" }]);
      upstream.publish(GATE_KEY, "v1", specs);
      await eventually(
        async () =>
          expect(await (await requestSpecs(relay, GATE_KEY)).json()).toMatchObject({ time: lcutOf(number) }),
        PATIENT,
      );
    }
    publishSwitch(upstream, 4, false);
    await expectTurns(relay, ["on 1", "off 4"]);
    const lines = relay.output().match(/profiling gate .+/g);
    expect(lines).toEqual([
      `profiling gate cannot be evaluated, profiling stays as it is lcut=${lcutOf(2)} detail="the SDK cannot read the config specs"`,
      expect.stringContaining("profiling gate evaluated again"),
    ]);
  });

  test("stays as it is while upstream fails, or rejects the SDK key", async () => {
    await using upstream = await startUpstream();
    publishSwitch(upstream, 1, true);
    await using relay = await start(upstream, { args: ["--clear-datastore-on-unauthorized"] });
    await expectTurns(relay, ["on 1"]);
    upstream.misbehave(status(500));
    await eventually(() => expect(relay.output()).toContain("upstream failing"), PATIENT);
    upstream.behave();
    upstream.forget(GATE_KEY);
    await eventually(async () => expect((await requestSpecs(relay, GATE_KEY)).status).toBe(401), PATIENT);
    publishSwitch(upstream, 2, true);
    publishSwitch(upstream, 3, false);
    await expectTurns(relay, ["on 1", "off 3"]);
  });

  test("is off for an SDK key that upstream rejects, which keeps no relay from being ready", async () => {
    await using upstream = await startUpstream();
    await using managed = await startManagedRelay({ upstream, env: GATE_ENV, mode: "http" });
    const { relay } = managed;
    await eventually(() => expect(upstream.count(new RegExp(GATE_KEY))).toBeGreaterThan(1), PATIENT);
    expect((await managed.get("/readyz")).status).toBe(200);
    expect((await managed.status()).state).toBe("ok");
    expect(relay.output().match(/rejected SDK key/g)).toHaveLength(1);
    expect(turnsOf(relay)).toEqual([]);
  });

  test("is not asked for with --force-gcp-profiling-enabled, which wins", async () => {
    await using upstream = await startUpstream();
    publishSwitch(upstream, 1, true);
    const { sdkKey } = publishKey(upstream, "secret-preloaded-0123456789", 1);
    const args = ["--force-gcp-profiling-enabled", "--preload-sdk-keys", sdkKey];
    await using relay = await start(upstream, { args });
    await eventually(() => expect(upstream.count(/secret-preloaded/)).toBeGreaterThan(4), PATIENT);
    expect(upstream.count(new RegExp(GATE_KEY))).toBe(0);
    expect(turnsOf(relay)).toEqual([]);
  });
});

describe("an SDK key that clients may not use", () => {
  const CLIENT_KEY = "secret-of-clients-0123456789";

  test("is held for the gate alone: clients are refused it until it is allowed", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, CLIENT_KEY, 1);
    publishKey(upstream, GATE_KEY, 1);
    publishSwitch(upstream, 2, true);
    await using stack = new AsyncDisposableStack();
    const files = stack.use(new ConfigFiles());
    const list = files.write(CLIENT_KEY, "txt");
    await using relay = await start(upstream, {
      mode: "grpc-and-http",
      args: ["--allowed-sdk-keys", `@${list}`, "--maximum-concurrent-sdk-keys", "1"],
    });
    await expectTurns(relay, ["on 2"]);
    const statuses = async (key: string) => [
      (await requestSpecs(relay, key, "v1")).status,
      (await requestSpecs(relay, key, "v2")).status,
    ];
    expect(await statuses(GATE_KEY)).toEqual([401, 401]);
    // The key of the gate takes no place of a client's.
    expect(await statuses(CLIENT_KEY)).toEqual([200, 200]);
    expect(upstream.count(new RegExp(`/v2/.*${GATE_KEY}`))).toBe(0);

    await Bun.write(list, `${CLIENT_KEY}\n${GATE_KEY}\n`);
    await eventually(async () => expect(await statuses(GATE_KEY)).toEqual([200, 200]), PATIENT);
    await Bun.write(list, `${CLIENT_KEY}\n`);
    await eventually(async () => expect(await statuses(GATE_KEY)).toEqual([401, 401]), PATIENT);
    publishSwitch(upstream, 3, false);
    await expectTurns(relay, ["on 2", "off 3"]);
    expect(await statuses(GATE_KEY)).toEqual([401, 401]);
  });
});
