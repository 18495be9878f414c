// A server that uses statsig-node-core with a forward proxy over TLS: config specs over a gRPC stream with a client
// certificate, log events over HTTPS. See docs/active-mode.md. Install: npm install @statsig/statsig-node-core
import core from "@statsig/statsig-node-core";

const relay = process.env.RELAY_URL ?? "https://localhost:8443";
const stream = process.env.RELAY_GRPC_URL ?? "https://localhost:50052";
const caCertPath = process.env.RELAY_CA ?? "/tls/ca.crt";
const gate = process.argv[2] ?? "demo_flip";

const statsig = new core.Statsig(process.env.STATSIG_SERVER_SDK_KEY ?? "secret-demo", {
  specAdaptersConfig: [
    {
      adapterType: "network_grpc_websocket",
      specsUrl: stream,
      // Without a client certificate: "tls", and neither clientCertPath nor clientKeyPath.
      authenticationMode: "mtls",
      caCertPath,
      clientCertPath: process.env.RELAY_CLIENT_CERT ?? "/tls/tls.crt",
      clientKeyPath: process.env.RELAY_CLIENT_KEY ?? "/tls/tls.key",
      initTimeoutMs: 3_000,
    },
  ],
  // After 30 failed streams the SDK polls this URL; without it, Statsig's.
  specsUrl: `${relay}/v2/download_config_specs`,
  // This SDK sends no client certificate over HTTPS: run the relay without --enforce-mtls.
  logEventUrl: `${relay}/v1/log_event`,
  proxyConfig: { caCertPath },
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
