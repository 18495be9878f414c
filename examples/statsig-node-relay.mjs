// A server with statsig-node whose config specs come from a forward proxy, and whose events go through it.
// See docs/active-mode.md. Needs: npm install statsig-node
import statsig from "statsig-node";

const relay = process.env.RELAY_URL ?? "http://localhost:8000";
const gate = process.argv[2] ?? "demo_flip";

await statsig.initialize(process.env.STATSIG_SERVER_SDK_KEY ?? "secret-demo", {
  api: `${relay}/v1`,
  apiForDownloadConfigSpecs: `${relay}/v1`,
  apiForGetIdLists: `${relay}/v1`,
  // How soon a change is seen; the SDK takes 5 s at least.
  rulesetsSyncIntervalMs: 5_000,
  initStrategyForIP3Country: "lazy",
});

const user = { userID: "user-1" };
setInterval(() => console.log(`${gate} ${statsig.checkGateSync(user, gate)}`), 1_000);
statsig.logEvent(user, "example_started");
process.once("SIGTERM", async () => {
  // Events that wait are sent now.
  await statsig.shutdownAsync();
  process.exit(0);
});
