import type { Clock } from "../../clock.ts";
import type { LimitEvent } from "../../limits/events.ts";
import type { AccessEvent } from "../../specs/access-events.ts";
import type { TlsEvent } from "../../tls/events.ts";
import { AccessLog } from "./access-log.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLogs } from "./throttled-log.ts";

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
