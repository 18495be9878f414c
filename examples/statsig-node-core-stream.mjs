// A server with statsig-node-core that is told of every change by a forward proxy, over a gRPC stream.
// See docs/active-mode.md. Needs: npm install @statsig/statsig-node-core
import core from "@statsig/statsig-node-core";

const relay = process.env.RELAY_URL ?? "http://localhost:8000";
const stream = process.env.RELAY_GRPC_URL ?? "http://localhost:50051";
const gate = process.argv[2] ?? "demo_flip";

const statsig = new core.Statsig(process.env.STATSIG_SERVER_SDK_KEY ?? "secret-demo", {
  specAdaptersConfig: [
    // With TLS: an https:// URL, authenticationMode "tls" and caCertPath; with "mtls" clientCertPath and clientKeyPath too.
    {
      adapterType: "network_grpc_websocket",
      specsUrl: stream,
      authenticationMode: "none",
      initTimeoutMs: 3_000,
    },
    // Where there is no stream, as behind a proxy without HTTP/2.
    { adapterType: "network_http", specsUrl: `${relay}/v2/download_config_specs`, initTimeoutMs: 3_000 },
  ],
  logEventUrl: `${relay}/v1/log_event`,
});
await statsig.initialize();

const user = core.StatsigUser.withUserID("user-1");
setInterval(() => console.log(`${gate} ${statsig.checkGate(user, gate)}`), 1_000);
statsig.logEvent(user, "example_started");
process.once("SIGTERM", async () => {
  // Events that wait are sent now.
  await statsig.shutdown();
  process.exit(0);
});
