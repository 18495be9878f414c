import type { Clock } from "../platform/clock.ts";
import { monotonicUsec } from "../platform/libc.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { openUnixDatagram, UnixDatagramError } from "../platform/unix-datagram.ts";
import type { Logger } from "./logging/logger.ts";

/** The service manager that started the relay, such as systemd. It is notified as sd_notify(3) describes. */
export interface ServiceManagerConfig {
  /** Path of its Unix datagram socket, or `@name` for an abstract socket. */
  readonly socket: string;
  /** The service manager restarts the relay after this time without a notification; undefined if it does not. */
  readonly watchdogMs: number | undefined;
}

export interface ServiceManagerPorts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly logger: Logger;
  /** Returns the reasons why the relay is not ready, which `systemctl status` shows; empty if it is ready. */
  readonly notReady: () => readonly string[];
}

/** Longest time between two looks at the readiness. */
const MAX_TICK_MS = 5_000;

const MAX_STATUS_CHARS = 1_000;

/**
 * Notifies the service manager. READY=1 is sent when the ports are open, even if there is no config to serve yet: while upstream
 * is down, restarting the relay would not help.
 */
export class ServiceManager implements AsyncDisposable {
  readonly #config: ServiceManagerConfig;
  readonly #ports: ServiceManagerPorts;
  readonly #stopping = new AbortController();
  readonly #ticking: Promise<void>;
  #state: "READY=1" | "STOPPING=1" = "READY=1";
  #status = "";
  /** Error code of the last notification, if it failed. */
  #failedWith: string | undefined;

  constructor(config: ServiceManagerConfig, ports: ServiceManagerPorts) {
    this.#config = config;
    this.#ports = ports;
    this.#notify(this.#state, ...this.#newStatus());
    this.#ticking = ports.supervisor.loop("service_manager", this.#stopping.signal, () => this.#tick());
  }

  /** Call this when a reload of the configuration begins, and {@link reloaded} when it has ended. */
  reloading(): void {
    // With Type=notify-reload, systemd takes a time before its own SIGHUP for that of an earlier reload.
    this.#notify("RELOADING=1", `MONOTONIC_USEC=${monotonicUsec()}`);
  }

  reloaded(): void {
    this.#notify(this.#state, ...this.#newStatus());
  }

  /** `TimeoutStopSec` begins here. The watchdog is still notified, because a shutdown can hang too. */
  stopping(): void {
    this.#state = "STOPPING=1";
    this.#notify(this.#state, ...this.#newStatus());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#ticking;
  }

  /** Notifies the watchdog. A blocked event loop runs no ticks, so the watchdog notices it. */
  async #tick(): Promise<void> {
    const { watchdogMs } = this.#config;
    const { signal } = this.#stopping;
    const everyMs = Math.min(MAX_TICK_MS, (watchdogMs ?? Number.POSITIVE_INFINITY) / 2);
    const alive = watchdogMs === undefined ? [] : ["WATCHDOG=1"];
    const unsent = this.#failedWith === undefined ? [] : [this.#state];
    const lines = [...unsent, ...alive, ...this.#newStatus()];
    if (lines.length > 0) this.#notify(...lines);
    await this.#ports.clock.sleep(everyMs, signal);
  }

  /** Returns the STATUS line if it has changed since it was sent. */
  #newStatus(): string[] {
    const reasons = this.#ports.notReady();
    const text = reasons.length === 0 ? "ready" : `not ready: ${reasons.join("; ")}`;
    const status = text.replaceAll(/\s+/g, " ").slice(0, MAX_STATUS_CHARS);
    if (status === this.#status) return [];
    this.#status = status;
    return [`STATUS=${status}`];
  }

  /** Opens a socket each time: a service manager that has replaced another listens on a new one. */
  #notify(...lines: readonly string[]): void {
    try {
      using socket = openUnixDatagram(this.#config.socket);
      socket.send(Buffer.from(lines.join("\n")));
      this.#failedWith = undefined;
    } catch (error) {
      if (!(error instanceof UnixDatagramError)) throw error;
      // Sent again with the next notification.
      this.#status = "";
      if (this.#failedWith !== error.code) {
        this.#ports.logger.log("warn", "service manager notification failed", { reason: error.message });
      }
      this.#failedWith = error.code;
    }
  }
}
