// A server with statsig-node-core that a forward proxy knows by its client certificate: config specs by a gRPC stream,
// over TLS, and events by HTTPS. See docs/active-mode.md. Needs: npm install @statsig/statsig-node-core
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
      // Without a client certificate: "tls", and the two files left out.
      authenticationMode: "mtls",
      caCertPath,
      clientCertPath: process.env.RELAY_CLIENT_CERT ?? "/tls/tls.crt",
      clientKeyPath: process.env.RELAY_CLIENT_KEY ?? "/tls/tls.key",
      initTimeoutMs: 3_000,
    },
  ],
  // This SDK has no client certificate over HTTPS: leave it optional there, without --enforce-mtls.
  logEventUrl: `${relay}/v1/log_event`,
  proxyConfig: { caCertPath },
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
