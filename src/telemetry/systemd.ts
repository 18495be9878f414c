import type { Clock } from "../platform/clock.ts";
import { monotonicUsec } from "../platform/libc.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { openUnixDatagram, UnixDatagramError } from "../platform/unix-datagram.ts";
import type { Logger } from "./logging/logger.ts";

/** Who started the relay and wants to hear from it, as systemd does: sd_notify(3). */
export interface ServiceManagerConfig {
  /** Path of its Unix datagram socket; `@name` for one without a file. */
  readonly socket: string;
  /** After so long without a word the relay is ended and started again; undefined where it need not say any. */
  readonly watchdogMs: number | undefined;
}

export interface ServiceManagerPorts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly logger: Logger;
  /** Reasons, none where the relay is ready: shown by `systemctl status`. */
  readonly notReady: () => readonly string[];
}

const MAX_TICK_MS = 5_000;

const MAX_STATUS_LENGTH = 1_000;

/**
 * Tells the service manager how the relay is. That it runs is told when its ports are open, whether there is anything to
 * serve yet or not: with upstream down, a start that is given up and tried again would make nothing better.
 */
export class ServiceManager implements AsyncDisposable {
  readonly #config: ServiceManagerConfig;
  readonly #ports: ServiceManagerPorts;
  readonly #stopping = new AbortController();
  readonly #ticking: Promise<void>;
  #state: "READY=1" | "STOPPING=1" = "READY=1";
  #status = "";
  /** Why the last word could not be sent. */
  #problem: string | undefined;

  constructor(config: ServiceManagerConfig, ports: ServiceManagerPorts) {
    this.#config = config;
    this.#ports = ports;
    this.#tell(this.#state, ...this.#newStatus());
    this.#ticking = ports.supervisor.loop("service_manager", this.#stopping.signal, () => this.#tick());
  }

  /** The configuration is read again; {@link reloaded} follows. */
  reloading(): void {
    // With Type=notify-reload a time before systemd's own of its SIGHUP is one of an earlier reload.
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${monotonicUsec()}`);
  }

  reloaded(): void {
    this.#tell(this.#state, ...this.#newStatus());
  }

  /** From here on `TimeoutStopSec` counts. The watchdog goes on: shutting down can hang, too. */
  stopping(): void {
    this.#state = "STOPPING=1";
    this.#tell(this.#state, ...this.#newStatus());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#ticking;
  }

  /** That this comes round shows that the thread that serves is not stuck. */
  async #tick(): Promise<void> {
    const { watchdogMs } = this.#config;
    const { signal } = this.#stopping;
    const everyMs = Math.min(MAX_TICK_MS, (watchdogMs ?? Number.POSITIVE_INFINITY) / 2);
    const alive = watchdogMs === undefined ? [] : ["WATCHDOG=1"];
    const unheard = this.#problem === undefined ? [] : [this.#state];
    const words = [...unheard, ...alive, ...this.#newStatus()];
    if (words.length > 0) this.#tell(...words);
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

  /** Another socket each time: a service manager that was replaced by a newer one has another. */
  #tell(...words: readonly string[]): void {
    try {
      using socket = openUnixDatagram(this.#config.socket);
      socket.send(Buffer.from(words.join("\n")));
      this.#problem = undefined;
    } catch (error) {
      if (!(error instanceof UnixDatagramError)) throw error;
      this.#status = "";
      if (this.#problem !== error.code) {
        this.#ports.logger.log("warn", "the service manager can't be told", { reason: error.message });
      }
      this.#problem = error.code;
    }
  }
}
