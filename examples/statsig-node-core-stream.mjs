// A server that uses statsig-node-core with a forward proxy: config specs over a gRPC stream, log events over HTTP.
// See docs/active-mode.md. Install: npm install @statsig/statsig-node-core
import core from "@statsig/statsig-node-core";

const relay = process.env.RELAY_URL ?? "http://localhost:8000";
const stream = process.env.RELAY_GRPC_URL ?? "http://localhost:50051";
const gate = process.argv[2] ?? "demo_flip";

const statsig = new core.Statsig(process.env.STATSIG_SERVER_SDK_KEY ?? "secret-demo", {
  specAdaptersConfig: [
    // For TLS: an https:// URL, authenticationMode "tls" and caCertPath. For "mtls" also clientCertPath and clientKeyPath.
    {
      adapterType: "network_grpc_websocket",
      specsUrl: stream,
      authenticationMode: "none",
      initTimeoutMs: 3_000,
    },
    // The fallback when streaming fails, for example behind a proxy without HTTP/2.
    { adapterType: "network_http", specsUrl: `${relay}/v2/download_config_specs`, initTimeoutMs: 3_000 },
  ],
  // After 30 failed streams the SDK polls this URL; without it, Statsig's.
  specsUrl: `${relay}/v2/download_config_specs`,
  logEventUrl: `${relay}/v1/log_event`,
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
