import type { Clock } from "../platform/clock.ts";
import { monotonicUsec } from "../platform/libc.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { openUnixDatagram, UnixDatagramError } from "../platform/unix-datagram.ts";
import type { Logger } from "./logging/logger.ts";

/** The service manager that started the relay, usually systemd, and expects notifications: sd_notify(3). */
export interface ServiceManagerConfig {
  /** The path of its Unix datagram socket; `@name` for an abstract socket. */
  readonly socket: string;
  /** The service manager restarts the relay after this time without a notification; undefined if there is no watchdog. */
  readonly watchdogMs: number | undefined;
}

export interface ServiceManagerPorts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly logger: Logger;
  /** Why the relay is not ready; empty if it is. Shown by `systemctl status`. */
  readonly notReady: () => readonly string[];
}

const MAX_TICK_MS = 5_000;

const MAX_STATUS_LENGTH = 1_000;

/**
 * Notifies the service manager of the relay's state. The relay counts as started when its ports are open, even if it has no
 * config to serve yet: while upstream is down, restarts would not help.
 */
export class ServiceManager implements AsyncDisposable {
  readonly #config: ServiceManagerConfig;
  readonly #ports: ServiceManagerPorts;
  readonly #stopping = new AbortController();
  readonly #ticking: Promise<void>;
  #state: "READY=1" | "STOPPING=1" = "READY=1";
  #status = "";
  /** The error code of the last notification if it could not be sent. */
  #problem: string | undefined;

  constructor(config: ServiceManagerConfig, ports: ServiceManagerPorts) {
    this.#config = config;
    this.#ports = ports;
    this.#notify(this.#state, ...this.#newStatus());
    this.#ticking = ports.supervisor.loop("service_manager", this.#stopping.signal, () => this.#tick());
  }

  /** Reports that the configuration is being reloaded. Must be followed by {@link reloaded}. */
  reloading(): void {
    // With Type=notify-reload, systemd ignores a timestamp from before its SIGHUP: it belongs to an earlier reload.
    this.#notify("RELOADING=1", `MONOTONIC_USEC=${monotonicUsec()}`);
  }

  reloaded(): void {
    this.#notify(this.#state, ...this.#newStatus());
  }

  /** Starts `TimeoutStopSec`. Watchdog notifications continue, since a shutdown can hang as well. */
  stopping(): void {
    this.#state = "STOPPING=1";
    this.#notify(this.#state, ...this.#newStatus());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#ticking;
  }

  /** Runs on the thread that serves, so a notification shows that the thread is not blocked. */
  async #tick(): Promise<void> {
    const { watchdogMs } = this.#config;
    const { signal } = this.#stopping;
    const everyMs = Math.min(MAX_TICK_MS, (watchdogMs ?? Number.POSITIVE_INFINITY) / 2);
    const alive = watchdogMs === undefined ? [] : ["WATCHDOG=1"];
    const unsent = this.#problem === undefined ? [] : [this.#state];
    const lines = [...unsent, ...alive, ...this.#newStatus()];
    if (lines.length > 0) this.#notify(...lines);
    await this.#ports.clock.sleep(everyMs, signal);
  }

  #newStatus(): string[] {
    const reasons = this.#ports.notReady();
    const text = reasons.length === 0 ? "ready" : `not ready: ${reasons.join("; ")}`;
    const status = text.replaceAll(/\s+/g, " ").slice(0, MAX_STATUS_LENGTH);
    if (status === this.#status) return [];
    this.#status = status;
    return [`STATUS=${status}`];
  }

  /** Opens a new socket each time, since a service manager that was upgraded has a new one. */
  #notify(...lines: readonly string[]): void {
    try {
      using socket = openUnixDatagram(this.#config.socket);
      socket.send(Buffer.from(lines.join("\n")));
      this.#problem = undefined;
    } catch (error) {
      if (!(error instanceof UnixDatagramError)) throw error;
      this.#status = "";
      if (this.#problem !== error.code) {
        this.#ports.logger.log("warn", "service manager notification failed", { reason: error.message });
      }
      this.#problem = error.code;
    }
  }
}
