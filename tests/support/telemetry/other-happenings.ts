import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { RawHttp2 } from "../clients/raw-http2.ts";
import { idListsOf } from "../relay/access.ts";
import { status } from "../upstream/upstream.ts";
import { answer, jsonAnswer, type UpstreamRequest } from "../upstream/upstream-request.ts";
import { type Happening, KEYS } from "./happening.ts";
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

/** Everything but config specs. */
export const OTHER_HAPPENINGS: readonly Happening[] = [
  {
    what: "a relay runs, with a backup, a certificate, a spool that was damaged, and places that metrics are sent to",
    metrics: [
      ...["Ready", "BuildInfo", "StartTimestampS", "MemoryRssBytes", "MemoryLimitBytes"],
      ...["SinkUp", "Connections", "RequestsInFlight", "SdkKeysHeld", "GrpcStreamsAllowed"],
      ...["BackupUp", "RedisPermissionsMissing", "CertificateLoaded", "CertificateExpiryTimestampS"],
      ...["LogEventQueueEvents", "LogEventQueueBytes", "LogEventQueueFilled", "LogEventQueueFailed"],
    ],
    make: () => {},
  },
  {
    what: "an error that nothing catches, as the relay's own process throws it",
    metrics: ["UnexpectedError"],
    make: () => {},
  },
  {
    what: "one of the places answers with an error",
    metrics: ["MeasurementsDropped"],
    make: (at) => at.loseMeasurements(),
  },
  {
    what: "events come, some of them again, more than are remembered",
    metrics: [
      ...["LogEventAccepted", "LogEventStoreDeduped", "LogEventStoreDedupeCacheCleared"],
      ...["LogEventForwarded", "LogEventForwardRequest"],
    ],
    make: async (at) => {
      const events = ["a", "a", "b", "c", "d", "e", "f"].map(exposure);
      await post(at, third, { events });
    },
  },
  {
    what: "events come that make no sense, that upstream does not take now, or never",
    metrics: ["LogEventRequestRejected", "LogEventForwardDelayed", "LogEventDropped"],
    make: async (at) => {
      at.upstream.misbehave(status(500), { ...eventsOf(failing), times: 1 });
      at.upstream.misbehave(status(401), eventsOf(refused));
      await post(at, third, { events: "none" });
      for (const sdkKey of [failing, refused]) await post(at, sdkKey, { events: [{ eventName: "seen" }] });
    },
  },
  {
    what: "ID lists come, and then fail",
    metrics: ["IdListUpdated", "IdListFileBytes", "IdListFailed"],
    make: async ({ relay, upstream }) => {
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
    what: "a client answers no PING",
    metrics: ["ClientVanished"],
    make: async ({ relay }) => {
      using client = await RawHttp2.open(relay.grpcUrl);
      await client.connection.closed(15_000);
    },
  },
  {
    what: "a client that is too old for TLS 1.3, a certificate that is none",
    metrics: ["TlsClientRefused", "CertificateRefused"],
    make: async ({ relay, certificates }) => {
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
    make: ({ allowed }) => allowed.write([...Object.values(KEYS), "secret-one-more"].join("\n")),
  },
];
