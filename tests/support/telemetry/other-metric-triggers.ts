import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { RawHttp2 } from "../clients/raw-http2.ts";
import { cpu } from "../profiling/cloud-profiler-api.ts";
import { idListsOf } from "../relay/access.ts";
import { status } from "../upstream/upstream.ts";
import { answer, jsonAnswer, type UpstreamRequest } from "../upstream/upstream-request.ts";
import { KEYS, type MetricTrigger } from "./metric-trigger.ts";
import type { MonitoredRelay } from "./monitored-relay.ts";

const { third, failing, refused } = KEYS;

const eventsOf = (sdkKey: string) => ({
  when: ({ path, headers }: UpstreamRequest) =>
    path === "/v1/log_event" && headers["statsig-api-key"] === sdkKey,
});

const exposure = (rule: string) => ({
  eventName: "statsig::gate_exposure",
  time: 1_700_000_000_000,
  user: { userID: "u" },
  metadata: { gate: "g", gateValue: "true", ruleID: rule },
});

function post({ relay }: MonitoredRelay, sdkKey: string, body: object): Promise<Response> {
  const headers = { "statsig-api-key": sdkKey };
  return fetch(`${relay.httpUrl}/v1/log_event`, { method: "POST", headers, body: JSON.stringify(body) });
}

const LINES = "+aaaaaaaa\n+bbbbbbbb\n";

/** What other triggers count at the same time may be lost with it. */
export const LOSS_TRIGGER: MetricTrigger = {
  what: "a sink responds with an error",
  metrics: ["MeasurementsDropped"],
  run: (at) => at.loseMeasurements(),
};

/** Triggers for everything but config specs. They may run at the same time. */
export const OTHER_TRIGGERS: readonly MetricTrigger[] = [
  {
    what: "a relay runs with a backup, files of config specs, a certificate, a damaged spool, and sinks",
    metrics: [
      ...["Ready", "BuildInfo", "StartTimestampS", "MemoryRssBytes", "MemoryLimitBytes"],
      ...["SinkUp", "Connections", "RequestsInFlight", "SdkKeysHeld"],
      ...["GrpcStreamsAllowed", "GrpcFeedsTooLarge"],
      ...[
        "BackupUp",
        "BootstrapFiles",
        "RedisPermissionsMissing",
        "RedisTokenFailing",
        "CertificateLoaded",
        "CertificateExpiryTimestampS",
      ],
      ...["LogEventQueueEvents", "LogEventQueueBytes", "LogEventQueueFilled", "LogEventQueueFailed"],
    ],
    run: () => {},
  },
  {
    what: "an uncaught error in the relay process",
    metrics: ["UnexpectedError"],
    run: ({ relay }) => relay.signal("SIGWINCH"),
  },
  {
    what: "Google Cloud wants a profile",
    metrics: ["CloudProfileUploaded"],
    run: ({ cloudProfiler }) => cloudProfiler.answer(cpu("1s")),
  },
  {
    what: "log events with duplicates, more than are remembered",
    metrics: [
      ...["LogEventAccepted", "LogEventStoreDeduped", "LogEventStoreDedupeCacheCleared"],
      ...["LogEventForwarded", "LogEventForwardRequest"],
    ],
    run: async (at) => {
      const events = ["a", "a", "b", "c", "d", "e", "f"].map(exposure);
      await post(at, third, { events });
    },
  },
  {
    what: "log events that are malformed, delayed, or rejected by upstream",
    metrics: ["LogEventRequestRejected", "LogEventForwardDelayed", "LogEventDropped"],
    run: async (at) => {
      at.upstream.misbehave(status(500), { ...eventsOf(failing), times: 1 });
      at.upstream.misbehave(status(401), eventsOf(refused));
      await post(at, third, { events: "none" });
      for (const sdkKey of [failing, refused]) await post(at, sdkKey, { events: [{ eventName: "seen" }] });
    },
  },
  {
    what: "ID lists that are downloaded, and one that fails",
    metrics: ["IdListUpdated", "IdListFileBytes", "DownloadIdListFileSizeBytes", "IdListFailed"],
    run: async ({ relay, upstream }) => {
      const entryOf = (name: string) => ({
        name,
        url: `${upstream.url}/lists/${name}`,
        fileID: `file-${name}`,
        size: LINES.length,
        creationTime: 1_700_000_000_000,
      });
      const manifest = { good: entryOf("good"), missing: entryOf("missing") };
      const at = (wanted: string) => ({ when: ({ path }: UpstreamRequest) => path === wanted });
      upstream.misbehave({ kind: "edit", edit: () => jsonAnswer(manifest) }, at("/v1/get_id_lists"));
      upstream.misbehave({ kind: "edit", edit: () => answer(200, LINES) }, at("/lists/good"));
      await idListsOf(relay, third);
    },
  },
  {
    what: "a client that does not answer PINGs",
    metrics: ["ClientVanished"],
    run: async ({ relay }) => {
      using client = await RawHttp2.open(relay.grpcUrl);
      await client.connection.closed(15_000);
    },
  },
  {
    what: "a client without TLS 1.3, and an invalid certificate file",
    metrics: ["TlsClientRefused", "CertificateRefused"],
    run: async ({ relay, certificates }) => {
      const { hostname: host, port } = new URL(relay.urlOf("https"));
      const socket = connect({ host, port: Number(port), maxVersion: "TLSv1.2", rejectUnauthorized: false });
      await once(socket, "error");
      socket.destroy();
      writeFileSync(certificates.certPath, "no certificate");
    },
  },
  {
    what: "the list of allowed keys changes",
    metrics: ["AllowedKeysReloaded"],
    run: ({ allowed }) => allowed.write([...Object.values(KEYS), "secret-one-more"].join("\n")),
  },
];
