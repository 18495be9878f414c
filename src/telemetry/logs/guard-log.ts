import type { Clock } from "../../clock.ts";
import type { LimitEvent } from "../../limits/events.ts";
import type { AccessEvent } from "../../specs/access-events.ts";
import type { TlsEvent } from "../../tls/events.ts";
import { AccessLog } from "./access-log.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLog } from "./throttled-log.ts";

const DAY_MS = 24 * 3_600_000;

/** Log lines of certificates, limits, and who may ask. */
export class GuardLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #limits = new Map<string, ThrottledLog>();
  readonly #access: AccessLog;
  readonly #clients: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
    this.#access = new AccessLog(logger, clock);
    this.#clients = new ThrottledLog(logger, clock);
  }

  write(event: LimitEvent | TlsEvent | AccessEvent): void {
    switch (event.kind) {
      case "limit_reached":
        this.#logOf(event.limit).log("warn", "limit reached", { limit: event.limit });
        return;
      case "connections_lowered": {
        const { connections, descriptors } = event;
        const message = "fewer connections than --max-connections: the system allows too few open files";
        this.#logger.log("warn", message, { connections_per_port: connections, open_files: descriptors });
        return;
      }
      case "certificate_loaded": {
        const fields = { serial: event.serial, expires: dayOf(event.expiresAt) };
        const message = event.replaces ? "certificate replaced" : "certificate loaded";
        this.#logger.log("info", message, fields);
        return;
      }
      case "certificate_refused": {
        const message = "new certificate files can't be used, going on with the old ones";
        this.#logger.log("warn", message, { reason: event.reason });
        return;
      }
      case "certificate_expires_soon": {
        const { expiresAt, leftMs } = event;
        const fields = { expires: dayOf(expiresAt), days_left: Math.max(0, Math.floor(leftMs / DAY_MS)) };
        this.#logger.log(leftMs > 0 ? "warn" : "error", expiryMessage(leftMs), fields);
        return;
      }
      case "tls_client_refused":
        this.#clients.log("warn", "client refused: TLS", { reason: event.reason });
        return;
      default:
        this.#access.write(event);
    }
  }

  /** Limits are few, and one must not hide another. */
  #logOf(limit: string): ThrottledLog {
    const log = this.#limits.get(limit) ?? new ThrottledLog(this.#logger, this.#clock);
    this.#limits.set(limit, log);
    return log;
  }
}

const expiryMessage = (leftMs: number) =>
  leftMs > 0 ? "certificate expires soon" : "certificate has expired, clients no longer trust it";

const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);
