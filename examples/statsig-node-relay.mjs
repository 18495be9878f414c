// A server that uses statsig-node with a forward proxy, for config specs, ID lists and log events.
// See docs/active-mode.md. Install: npm install statsig-node
import statsig from "statsig-node";

const relay = process.env.RELAY_URL ?? "http://localhost:8000";
const gate = process.argv[2] ?? "demo_flip";

await statsig.initialize(process.env.STATSIG_SERVER_SDK_KEY ?? "secret-demo", {
  api: `${relay}/v1`,
  apiForDownloadConfigSpecs: `${relay}/v1`,
  apiForGetIdLists: `${relay}/v1`,
  // How often the SDK polls; its minimum is 5 s.
  rulesetsSyncIntervalMs: 5_000,
  initStrategyForIP3Country: "lazy",
});

const user = { userID: "user-1" };
setInterval(() => console.log(`${gate} ${statsig.checkGateSync(user, gate)}`), 1_000);
statsig.logEvent(user, "example_started");
process.once("SIGTERM", async () => {
  // Sends the events that are still queued.
  await statsig.shutdownAsync();
  process.exit(0);
});
