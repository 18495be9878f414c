import type { Clock } from "../../platform/clock.ts";
import type { EmitTlsEvent, TlsEvent } from "../../server/tls-events.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";
import { toIso } from "../status/schema.ts";
import type { TimedError } from "../status/timestamp.ts";

const DAY_MS = 24 * 3_600_000;

/** Bounds the lines of files that change all the time. */
const CERTIFICATES_PER_MIN = 10;

/** Logs, metrics and status of certificates, and of clients that fail the TLS handshake. */
export class TlsTelemetry {
  readonly emit: EmitTlsEvent;
  /** The certificate in use; undefined without TLS. */
  certificate: { readonly serial: string; readonly expiresAt: number } | undefined;
  /** Why the newest certificate files are not in use. */
  refused: TimedError | null = null;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  readonly #certificates: ThrottledLogs;
  readonly #clients: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#registry = registry;
    this.#clock = clock;
    this.#certificates = new ThrottledLogs(logger, clock, CERTIFICATES_PER_MIN);
    this.#clients = new ThrottledLogs(logger, clock);
    registry.gauge("CertificateExpiryTimestampS", () =>
      this.certificate === undefined ? [] : [[{}, this.certificate.expiresAt / 1_000]],
    );
  }

  #record(event: TlsEvent): void {
    switch (event.kind) {
      case "certificate_loaded": {
        const { kind, replaces, serial, expiresAt } = event;
        this.#registry.count("CertificateLoaded", {});
        this.certificate = { serial, expiresAt };
        this.refused = null;
        const message = replaces ? "certificate replaced" : "certificate loaded";
        this.#certificates.of(kind).log("info", message, { serial, expires: toDay(expiresAt) });
        return;
      }
      case "certificate_refused": {
        const { kind, reason } = event;
        this.#registry.count("CertificateRefused", {});
        this.refused = { at: toIso(this.#clock.now()), detail: reason };
        const message = "invalid certificate files, keeping the current certificate";
        this.#certificates.of(kind).log("warn", message, { reason });
        return;
      }
      case "certificate_expires_soon": {
        const { kind, expiresAt, leftMs } = event;
        const log = this.#certificates.of(kind);
        const daysLeft = Math.max(0, Math.floor(leftMs / DAY_MS));
        const fields = { expires: toDay(expiresAt), days_left: daysLeft };
        if (leftMs > 0) log.log("warn", "certificate expires soon", fields);
        else log.log("error", "certificate expired, clients no longer trust it", fields);
        return;
      }
      case "tls_client_refused": {
        const { reason, names, client, port, count } = event;
        this.#registry.count("TlsClientRefused", {}, count);
        const fields = { reason, certificateNames: names, client, port, count };
        this.#clients.of(reason).log("warn", "TLS handshake failed", fields);
      }
    }
  }
}

function toDay(ms: number): string {
  return toIso(ms).slice(0, 10);
}
