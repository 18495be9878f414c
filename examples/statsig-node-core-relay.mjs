// A server that uses statsig-node-core with a forward proxy, for config specs, ID lists and log events.
// See docs/active-mode.md. Install: npm install @statsig/statsig-node-core
import core from "@statsig/statsig-node-core";

const relay = process.env.RELAY_URL ?? "http://localhost:8000";
const gate = process.argv[2] ?? "demo_flip";

const statsig = new core.Statsig(process.env.STATSIG_SERVER_SDK_KEY ?? "secret-demo", {
  specsUrl: `${relay}/v2/download_config_specs`,
  logEventUrl: `${relay}/v1/log_event`,
  enableIdLists: true,
  idListsUrl: `${relay}/v1/get_id_lists`,
  // How often the SDK polls; its minimum is 1 s.
  specsSyncIntervalMs: 5_000,
});
await statsig.initialize();

const user = core.StatsigUser.withUserID("user-1");
setInterval(() => console.log(`${gate} ${statsig.checkGate(user, gate)}`), 1_000);
statsig.logEvent(user, "example_started");
process.once("SIGTERM", async () => {
  // Sends the events that are still queued.
  await statsig.shutdown();
  process.exit(0);
});
