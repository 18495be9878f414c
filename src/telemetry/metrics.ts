import type { Counter, Meter } from "@opentelemetry/api";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import type { RelayEvent } from "./event-log.ts";

/** What is read when somebody looks, rather than counted. */
export interface MetricReadings {
  /** Open connections by protocol. */
  readonly connections: () => Promise<Iterable<readonly [protocol: string, count: number]>>;
  readonly requestsInFlight: () => number;
  readonly openStreams: () => number;
}

const PREFIX = "statsig.forward_proxy";

/** Turns events into metrics. Attributes come from fixed sets, never from what clients send. */
export class Metrics implements AsyncDisposable {
  readonly #reader = new PrometheusExporter({ preventServerStart: true });
  readonly #provider = new MeterProvider({ readers: [this.#reader] });
  readonly #meter: Meter = this.#provider.getMeter("statsig-forward-proxy");
  readonly #limits = this.#counter(
    "LimitReached",
    "Requests, streams or connections refused or cut at a limit",
  );
  readonly #refusedKeys = this.#counter("KeyRefused", "Requests with an SDK key that may not ask");
  readonly #refusedClients = this.#counter("TlsClientRefused", "Clients refused by TLS");
  readonly #refusedFiles = this.#counter("CertificateRefused", "New certificate files that can't be used");
  readonly #refusedLists = this.#counter("AllowedKeysRefused", "New lists of SDK keys that can't be used");
  readonly #loadedFiles = this.#counter("CertificateLoaded", "Certificates taken over");
  #expiresAt: number | undefined;

  /** Readings come later: they belong to what is started after the first events. */
  read(readings: MetricReadings): void {
    this.#gauge("Connections", "Open connections").addCallback(async (result) => {
      for (const [protocol, count] of await readings.connections()) result.observe(count, { protocol });
    });
    this.#gauge("RequestsInFlight", "Requests being worked on").addCallback((result) => {
      result.observe(readings.requestsInFlight());
    });
    this.#gauge("GrpcEstimatedActiveStreams", "Open gRPC streams").addCallback((result) => {
      result.observe(readings.openStreams());
    });
    this.#gauge(
      "CertificateExpiryTimestampS",
      "When the certificate expires, seconds since 1970",
    ).addCallback((result) => {
      if (this.#expiresAt !== undefined) result.observe(this.#expiresAt / 1_000);
    });
  }

  write(event: RelayEvent): void {
    switch (event.kind) {
      case "limit_reached":
        this.#limits.add(1, { limit: event.limit });
        return;
      case "key_refused":
        this.#refusedKeys.add(1, { reason: event.reason });
        return;
      case "certificate_loaded":
        this.#expiresAt = event.expiresAt;
        this.#loadedFiles.add(1);
        return;
      case "certificate_refused":
        this.#refusedFiles.add(1);
        return;
      case "tls_client_refused":
        this.#refusedClients.add(1);
        return;
      case "allowed_keys_refused":
        this.#refusedLists.add(1);
        return;
      default:
    }
  }

  /** In the text format of Prometheus. */
  async prometheusText(): Promise<string> {
    const { resourceMetrics } = await this.#reader.collect();
    return new PrometheusSerializer(undefined, false, undefined, true, true).serialize(resourceMetrics);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#provider.shutdown();
  }

  #counter(name: string, description: string): Counter {
    return this.#meter.createCounter(`${PREFIX}.${name}.count`, { description });
  }

  #gauge(name: string, description: string) {
    return this.#meter.createObservableGauge(`${PREFIX}.${name}.gauge`, { description });
  }
}
