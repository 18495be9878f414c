import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ALERTS_PATH } from "../../scripts/gen/alert-rules.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { expressionsOf, readDashboard } from "../support/telemetry/dashboard.ts";
import { Prometheus, promtool } from "../support/telemetry/prometheus.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const SDK_KEY = "secret-prometheus-asks";

async function startMonitored() {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  publishKey(upstream, SDK_KEY);
  const args = ["--management-port", String(await freePort()), "--preload-sdk-keys", SDK_KEY];
  const relay = stack.use(await startRelayProcess({ upstream, args }));
  const management = new URL(relay.urlOf("management"));
  const owned = stack.move();
  return { upstream, relay, management, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describeWith("promtool")("promtool", () => {
  test("accepts the alert rules, the example configuration and the unit tests of the rules", async () => {
    expect(await promtool(["check", "rules", ALERTS_PATH])).toMatchObject({ exitCode: 0 });
    const config = ALERTS_PATH.replace("alerts.yaml", "prometheus.yaml");
    expect(await promtool(["check", "config", config])).toMatchObject({ exitCode: 0 });
    const tests = ALERTS_PATH.replace("alerts.yaml", "alerts.test.yaml");
    expect(await promtool(["test", "rules", tests])).toMatchObject({ exitCode: 0 });
  }, 90_000);

  test("parses every expression of the dashboard", async () => {
    const dir = await mkdtemp(join(tmpdir(), "sfp-dashboard-"));
    try {
      const rules = expressionsOf(await readDashboard()).map((expr, at) => ({ record: `panel:${at}`, expr }));
      expect(rules.length).toBeGreaterThan(90);
      const path = join(dir, "rules.yaml");
      await writeFile(path, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
      expect(await promtool(["check", "rules", path])).toMatchObject({ exitCode: 0 });
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test("finds no fault with the metrics of a relay but their names, which are those of the original proxy", async () => {
    await using monitored = await startMonitored();
    await rawGet(`${monitored.relay.httpUrl}/v1/download_config_specs/${SDK_KEY}.json`);
    await rawGet(`${monitored.relay.httpUrl}/"\\unheard-of`);
    const { body } = await rawGet(`${monitored.management}metrics`);
    const { exitCode, output } = await promtool(["check", "metrics"], body.toString());
    // 3: style only. 1 would mean that the text cannot be parsed.
    expect([0, 3]).toContain(exitCode);
    const isAboutNames = /snake_case|should not include type 'gauge'/;
    expect(output.split("\n").filter((line) => line !== "" && !isAboutNames.test(line))).toEqual([]);
  });
});

/** The shipped rules with minutes replaced by seconds. */
async function hurriedRules(): Promise<string> {
  const rules = await Bun.file(ALERTS_PATH).text();
  return rules.replaceAll("[5m]", "[5s]").replaceAll(/for: \w+/g, "for: 2s");
}

describeWith("prometheus")("Prometheus, with the alert rules", () => {
  test("alerts while upstream fails, and when a relay is gone", async () => {
    await using monitored = await startMonitored();
    const { upstream, relay, management } = monitored;
    const rules = await hurriedRules();
    await using prometheus = await Prometheus.start({ target: management.host, rules });
    const failing = () => prometheus.alert("StatsigRelayUpstreamFailing");
    const patience = { withinMs: 30_000, everyMs: 100 };
    await eventually(async () => {
      expect(await prometheus.target()).toMatchObject({ health: "up", lastError: "" });
      expect(await prometheus.query("statsig_forward_proxy_Ready_gauge")).toEqual([1]);
    }, patience);
    await eventually(async () => expect(await prometheus.alerts()).toEqual([]), patience);

    const behave = upstream.misbehave(status(500));
    await eventually(async () => {
      expect(await failing()).toMatchObject({
        state: "firing",
        labels: { severity: "warning", job: "statsig-forward-proxy", instance: management.host },
      });
    }, patience);
    const pending = 'ALERTS{alertname="StatsigRelayUpstreamFailing", alertstate="pending"}';
    expect(await prometheus.query(`max_over_time(${pending}[1m])`)).toEqual([1]);
    expect((await failing())?.annotations["summary"]).toBe(
      `Most requests of relay ${management.host} to upstream fail`,
    );

    behave();
    await eventually(async () => expect(await failing()).toBeUndefined(), patience);

    await relay.kill();
    await eventually(async () => {
      expect(await prometheus.alert("StatsigRelayDown")).toMatchObject({ state: "firing" });
    }, patience);
  }, 120_000);
});
