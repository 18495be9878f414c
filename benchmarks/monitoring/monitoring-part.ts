import type { Bench, Part, PartResult } from "../bench.ts";
import { publishCases } from "../http/cases.ts";
import type { HttpServer } from "../http/http-server.ts";
import { httpTables } from "../http/http-tables.ts";
import { type Measured, measureCase, measureRound } from "../http/measure.ts";
import { freePort } from "../loopback.ts";
import { RelayServer } from "../relay-server.ts";
import { StaticUpstream } from "../static-upstream.ts";
import { type Receivers, startReceivers } from "./receivers.ts";

const CONNECTIONS = 32;

/** Much more often than by default, so that every round has several pushes. */
const SEND_EVERY_MS = 500;

/** Measures what all kinds of monitoring together cost requests. */
export const monitoringPart: Part = { name: "monitoring", needs: ["wrk"], run };

async function run(bench: Bench): Promise<PartResult> {
  const load = bench.quick ? { rounds: 3, durationS: 2 } : { rounds: 15, durationS: 2 };
  const options = { ...load, connections: CONNECTIONS };
  await using upstream = await StaticUpstream.start();
  await using receivers = await startReceivers();
  const [small, medium = small] = publishCases(upstream);
  await using watched = await startWatched(bench, upstream, receivers);
  await using unwatched = await startUnwatched(bench, upstream);
  const servers = [watched, unwatched];
  for (const each of [small, medium]) await measureRound(bench, servers, each, options);
  const measured: Measured[] = [];
  for (const each of [small, medium]) measured.push(await measureCase(bench, servers, each, options));
  return {
    tables: httpTables(
      "monitoring",
      servers.map(({ name }) => name),
      measured,
    ),
    notes: [
      `all: --statsd-logging, --datadog-logging, --statsig-logging, --otlp-logging, each pushing every ${SEND_EVERY_MS} ms; /metrics scraped as often`,
      `received: ${[...receivers.received].map(([what, times]) => `${times} ${what}`).join(", ")}`,
      "none: metrics are counted, but neither pushed nor scraped",
    ],
    raw: measured.map(({ httpCase, rounds }) => ({
      case: httpCase.name,
      rounds: rounds.map((round) => Object.fromEntries(round)),
    })),
  };
}

async function startUnwatched(bench: Bench, upstream: StaticUpstream): Promise<HttpServer> {
  return serverOf("none", await RelayServer.start(bench, { upstream, cores: bench.cores?.server }));
}

async function startWatched(
  bench: Bench,
  upstream: StaticUpstream,
  receivers: Receivers,
): Promise<HttpServer> {
  const managementPort = await freePort();
  const relay = await RelayServer.start(bench, {
    upstream,
    cores: bench.cores?.server,
    managementPort,
    args: ["--statsd-logging", "--datadog-logging", "--statsig-logging", "--otlp-logging"],
    env: {
      STATSD_PORT_OVERRIDE: String(receivers.statsdPort),
      DATADOG_MAX_BATCH_TIME_MS: String(SEND_EVERY_MS),
      STATSIG_SERVER_SDK_KEY: "secret-monitoring",
      LOG_EVENT_STATSIG_ENDPOINT: receivers.url,
      OTEL_EXPORTER_OTLP_ENDPOINT: receivers.url,
      OTEL_METRIC_EXPORT_INTERVAL: String(SEND_EVERY_MS),
      OTEL_METRIC_EXPORT_TIMEOUT: String(SEND_EVERY_MS),
    },
  });
  const scrape = () =>
    void fetch(`http://127.0.0.1:${managementPort}/metrics`).then((answer) => answer.text());
  const scraping = setInterval(scrape, SEND_EVERY_MS);
  return serverOf("all", relay, () => clearInterval(scraping));
}

function serverOf(name: string, relay: RelayServer, end = () => {}): HttpServer {
  return {
    name,
    url: relay.httpUrl,
    pid: relay.pid,
    tidy: () => {},
    [Symbol.asyncDispose]: async () => {
      end();
      await relay[Symbol.asyncDispose]();
    },
  };
}
