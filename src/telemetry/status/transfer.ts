import type { Clock } from "../../platform/clock.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TransferStatus } from "./schema-traffic.ts";

const MINUTE_MS = 60_000;

const HOUR_MINUTES = 60;

/** What config specs cost upstream and what clients got of them, in bytes as sent: compressed if they were. */
export class Transfer {
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  #served = 0;
  #received = 0;
  /** Bytes served less those received, by minute; what is older than an hour is overwritten. */
  readonly #saved: { minute: number; bytes: number }[] = [];

  constructor(registry: MetricRegistry, clock: Clock) {
    this.#registry = registry;
    this.#clock = clock;
  }

  /** Clients got this much of config specs. */
  served(bytes: number): void {
    if (bytes === 0) return;
    this.#served += bytes;
    this.#registry.count("ConfigSpecServedBytes", {}, bytes);
    this.#add(bytes);
  }

  /** Upstream sent this much of config specs. */
  received(bytes: number): void {
    if (bytes === 0) return;
    this.#received += bytes;
    this.#registry.count("ConfigSpecReceivedBytes", {}, bytes);
    this.#add(-bytes);
  }

  read(): TransferStatus {
    const from = this.#minute() - HOUR_MINUTES;
    return {
      served_bytes: this.#served,
      received_bytes: this.#received,
      saved_bytes: this.#served - this.#received,
      saved_bytes_1_h: this.#saved.reduce((sum, { minute, bytes }) => (minute > from ? sum + bytes : sum), 0),
    };
  }

  #add(bytes: number): void {
    const minute = this.#minute();
    const at = minute % HOUR_MINUTES;
    const last = this.#saved[at];
    if (last?.minute === minute) last.bytes += bytes;
    else this.#saved[at] = { minute, bytes };
  }

  #minute(): number {
    return Math.floor(this.#clock.elapsed() / MINUTE_MS);
  }
}
