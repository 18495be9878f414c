import type { AccessEvent } from "../../access/events.ts";
import type { Clock } from "../../platform/clock.ts";
import type { LimitEvent } from "../../server/limits.ts";
import type { TlsEvent } from "../../server/tls.ts";
import type { Logger } from "../logging/logger.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";

const DAY_MS = 24 * 3_600_000;

/** Files that change all the time are no reason for as many lines. */
const CERTIFICATES_PER_MIN = 10;

/** Log lines of certificates, limits, and who may ask. */
export class GuardLog {
  readonly #limits: ThrottledLogs;
  readonly #clients: ThrottledLogs;
  readonly #certificates: ThrottledLogs;
  readonly #access: AccessLog;

  constructor(logger: Logger, clock: Clock) {
    this.#limits = new ThrottledLogs(logger, clock);
    this.#clients = new ThrottledLogs(logger, clock);
    this.#certificates = new ThrottledLogs(logger, clock, CERTIFICATES_PER_MIN);
    this.#access = new AccessLog(logger, clock);
  }

  write(event: LimitEvent | TlsEvent | AccessEvent): void {
    switch (event.kind) {
      case "limit_reached":
        this.#limits.of(event.limit).log("warn", "limit reached", { limit: event.limit });
        return;
      case "client_vanished":
        this.#clients.of(event.kind).log("info", "client no longer answers, closed its connection");
        return;
      case "connections_lowered": {
        const { connections, descriptors } = event;
        const message = "fewer connections than --max-connections: the system allows too few open files";
        const fields = { connections_per_port: connections, open_files: descriptors };
        this.#limits.of(event.kind).log("warn", message, fields);
        return;
      }
      case "tls_client_refused":
        this.#clients.of(event.reason).log("warn", "client refused: TLS", { reason: event.reason });
        return;
      case "certificate_loaded":
      case "certificate_refused":
      case "certificate_expires_soon":
        this.#writeCertificate(event);
        return;
      default:
        this.#access.write(event);
    }
  }

  #writeCertificate(event: Exclude<TlsEvent, { kind: "tls_client_refused" }>): void {
    const log = this.#certificates.of(event.kind);
    switch (event.kind) {
      case "certificate_loaded": {
        const fields = { serial: event.serial, expires: dayOf(event.expiresAt) };
        log.log("info", event.replaces ? "certificate replaced" : "certificate loaded", fields);
        return;
      }
      case "certificate_refused": {
        const message = "new certificate files can't be used, going on with the old ones";
        log.log("warn", message, { reason: event.reason });
        return;
      }
      case "certificate_expires_soon": {
        const { expiresAt, leftMs } = event;
        const fields = { expires: dayOf(expiresAt), days_left: Math.max(0, Math.floor(leftMs / DAY_MS)) };
        log.log(leftMs > 0 ? "warn" : "error", expiryMessage(leftMs), fields);
      }
    }
  }
}

const expiryMessage = (leftMs: number) =>
  leftMs > 0 ? "certificate expires soon" : "certificate has expired, clients no longer trust it";

const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** A file that changes all the time is no reason for as many lines. */
const RELOADS_PER_MIN = 10;

/** Log lines of who may ask. */
class AccessLog {
  readonly #refusals: ThrottledLogs;
  readonly #reloads: ThrottledLogs;

  constructor(logger: Logger, clock: Clock) {
    this.#refusals = new ThrottledLogs(logger, clock);
    this.#reloads = new ThrottledLogs(logger, clock, RELOADS_PER_MIN);
  }

  write(event: AccessEvent): void {
    const { kind } = event;
    switch (kind) {
      case "key_refused":
        this.#writeRefusal(event.reason);
        return;
      case "allowed_keys_reloaded": {
        const { keys, removed } = event;
        this.#reloads.of(kind).log("info", "allowed SDK keys reloaded", { keys, removed });
        return;
      }
      case "allowed_keys_refused": {
        const message = "the new list of allowed SDK keys can't be used, going on with the old one";
        this.#reloads.of(kind).log("warn", message, { reason: event.detail });
      }
    }
  }

  #writeRefusal(reason: Extract<AccessEvent, { kind: "key_refused" }>["reason"]): void {
    const log = this.#refusals.of(reason);
    switch (reason) {
      case "not_allowed":
        log.log("info", "an SDK key that is not allowed was refused", { option: "--allowed-sdk-keys" });
        return;
      case "throttled":
        log.log("warn", "too many unknown SDK keys are asked for", { option: "--unknown-key-rate-per-s" });
    }
  }
}

/** What happens to limits, keys and certificates, as measurements. */
export class GuardMetrics {
  readonly #registry: MetricRegistry;
  #expiresAt: number | undefined;

  constructor(registry: MetricRegistry) {
    this.#registry = registry;
    registry.gauge("CertificateExpiryTimestampS", () =>
      this.#expiresAt === undefined ? [] : [[{}, this.#expiresAt / 1_000]],
    );
  }

  write(event: LimitEvent | AccessEvent | TlsEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "limit_reached":
        registry.count("LimitReached", { limit: event.limit });
        return;
      case "client_vanished":
        registry.count("ClientVanished", {});
        return;
      case "key_refused":
        registry.count("KeyRefused", { reason: event.reason });
        return;
      case "allowed_keys_reloaded":
        registry.count("AllowedKeysReloaded", { state: "taken_over" });
        return;
      case "allowed_keys_refused":
        registry.count("AllowedKeysReloaded", { state: "refused" });
        return;
      case "certificate_loaded":
        this.#expiresAt = event.expiresAt;
        registry.count("CertificateLoaded", {});
        return;
      case "certificate_refused":
        registry.count("CertificateRefused", {});
        return;
      case "tls_client_refused":
        registry.count("TlsClientRefused", {});
        return;
      case "connections_lowered":
      case "certificate_expires_soon":
    }
  }
}
