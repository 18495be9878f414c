import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { faultEnv } from "../common/fault-injection.ts";
import { freePort } from "../common/free-port.ts";
import { eventually } from "../common/wait.ts";
import { FakeCloudProfilerApi } from "../profiling/cloud-profiler-api.ts";
import { cloudEnvironment, FORCED } from "../profiling/cloud-relay.ts";
import { FakeMetadataServer } from "../profiling/metadata-server.ts";
import { RedisServer } from "../redis/redis-server.ts";
import { KeyFile } from "../relay/access.ts";
import { CertificateFiles } from "../relay/certificate-files.ts";
import { OPERATOR_TOKEN } from "../relay/operated-relay.ts";
import { Authority } from "../relay/pki.ts";
import type { RelayProcess } from "../relay/relay-process.ts";
import { startRelayWithTls } from "../relay/relay-with-tls.ts";
import { startUpstream, status, type Upstream } from "../upstream/upstream.ts";
import {
  type MetricPlace,
  otlpPlace,
  prometheusPlace,
  statsdPlace,
  statsigPlace,
  unseenBy,
} from "./metric-places.ts";
import { startOtlpHttp } from "./otlp-receiver.ts";
import { UdpListener } from "./udp-listener.ts";

const STATSIG_KEY = "secret-of-the-project-for-metrics";

/** A relay that exports metrics to all kinds of destinations, and the servers that it depends on. */
export interface MonitoredRelay extends AsyncDisposable {
  readonly relay: RelayProcess;
  readonly upstream: Upstream;
  readonly redis: RedisServer;
  readonly allowed: KeyFile;
  readonly authority: Authority;
  readonly certificates: CertificateFiles;
  readonly cloudProfiler: FakeCloudProfilerApi;
  /** What the StatsD agent has received. */
  readonly datagrams: readonly string[];
  /** Makes the next request with metrics to Statsig fail. */
  loseMeasurements(): void;
  /** Resolves when every destination has seen these metrics, each in all its kinds. */
  sees(metrics: readonly string[]): Promise<void>;
}

export interface MonitoredRelayOptions {
  readonly agent: "statsd" | "datadog";
  readonly allowedKeys: readonly string[];
}

export async function startMonitoredRelay(options: MonitoredRelayOptions): Promise<MonitoredRelay> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const redis = stack.use(await RedisServer.start());
  const allowed = stack.use(new KeyFile(options.allowedKeys));
  const authority = stack.use(new Authority());
  const certificates = stack.use(new CertificateFiles());
  certificates.inPlace(authority.issue(), authority.caPath);
  const agent = stack.use(await UdpListener.start());
  const receiver = stack.use(await startOtlpHttp());
  const cloudProfiler = stack.use(await FakeCloudProfilerApi.start());
  const metadata = stack.use(await FakeMetadataServer.start());
  const folder = await mkdtemp(join(tmpdir(), "sfp-monitored-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const spool = join(folder, "spool");
  await mkdir(spool, { mode: 0o700 });
  const specs = join(folder, "specs.json");
  await writeFile(specs, "Unauthorized");
  // Not a database: the relay sets the file aside and counts that.
  await writeFile(join(spool, "events.sqlite"), "x".repeat(5_000));
  const lost = new Set<object>();
  const relay = stack.use(
    await startRelayWithTls({
      upstream,
      server: certificates,
      cache: "redis",
      args: [
        ...[`--${options.agent}-logging`, "--statsig-logging", "--otlp-logging"],
        ...["--management-port", String(await freePort()), "--metrics-max-series", "300"],
        ...[
          "--allowed-sdk-keys",
          `@${allowed.path}`,
          "-m",
          "3",
          "--clear-datastore-on-unauthorized",
          "--fleet-polling",
        ],
        ...["--deltas-background-loop-enabled", FORCED],
        ...["--bootstrap-path", specs],
        ...["--event-spool-path", spool, "--log-event-flush-interval-in-ms", "100"],
        ...["--proxy-id-lists", "--local-cache-path", join(folder, "lists")],
        ...["--enforce-tls", "false", "--tls-min-version", "1.3", "--max-url-length", "300"],
        ...["--http2-keepalive-time-in-s", "1", "--http2-keepalive-timeout-in-s", "1"],
      ],
      env: {
        ...cloudEnvironment(cloudProfiler, metadata),
        ...faultEnv(
          { kind: "reject", afterMs: "SIGWINCH" },
          { kind: "worker", script: "serving-worker", how: "terminate", afterMs: "SIGUSR2" },
        ),
        REDIS_URL: `redis://127.0.0.1:${redis.port}`,
        SFP_MANAGEMENT_TOKEN: OPERATOR_TOKEN,
        LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
        LOG_EVENT_DEDUPE_CACHE_LIMIT: "2",
        STATSIG_SERVER_SDK_KEY: STATSIG_KEY,
        STATSD_PORT_OVERRIDE: String(agent.port),
        DATADOG_MAX_BATCH_TIME_MS: "500",
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
        OTEL_METRIC_EXPORT_INTERVAL: "500",
      },
    }),
  );
  const places: readonly MetricPlace[] = [
    statsdPlace(options.agent, agent, options.agent === "datadog" ? "d" : "ms"),
    statsigPlace(upstream, STATSIG_KEY, (request) => lost.has(request)),
    otlpPlace(receiver),
    prometheusPlace(relay),
  ];
  const owned = stack.move();
  return {
    ...{ relay, upstream, redis, allowed, authority, certificates, cloudProfiler },
    datagrams: agent.datagrams,
    loseMeasurements: () => loseNext(upstream, lost),
    sees: (metrics) => everywhere(places, metrics),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function loseNext(upstream: Upstream, lost: Set<object>): void {
  const when = (request: Upstream["requests"][number]) => {
    if (request.headers["statsig-api-key"] !== STATSIG_KEY) return false;
    lost.add(request);
    return true;
  };
  upstream.misbehave(status(500), { when, times: 1 });
}

async function everywhere(places: readonly MetricPlace[], metrics: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      for (const place of places) await place.look();
      const unseen = places.flatMap((place) => unseenBy(place, metrics));
      if (unseen.length > 0) throw new Error(`not seen: ${unseen.join(", ")}`);
    },
    { withinMs: 30_000, everyMs: 100 },
  );
}
