import type { IdListQuery } from "../../id-lists/query.ts";
import type { Clock } from "../../platform/clock.ts";
import type { SpecQuery } from "../../specs/query.ts";
import type { Logger } from "../../telemetry/logging/logger.ts";
import { readWarmUpEntries, type WarmUpEntry } from "./entries.ts";

interface WarmUpParts {
  readonly specs: { readonly query: Pick<SpecQuery, "ask"> };
  readonly idLists: { readonly query: Pick<IdListQuery, "ask"> };
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Fetches what the warm-up names, as if clients had asked for it. The relay is not ready until each entry was tried once, which
 * takes as long as a first request at most. Unlike preloaded keys, these keys may be rejected, fail or be evicted.
 */
export class WarmUp {
  readonly #parts: WarmUpParts;
  readonly #total: number;
  #tried = 0;

  /** `json`: the value of `SFP_STARTUP_WARMUP_KEYS_JSON`. */
  constructor(json: string, parts: WarmUpParts) {
    const { entries, skipped, unreadable } = readWarmUpEntries(json);
    this.#parts = parts;
    this.#total = entries.length;
    const { logger } = parts;
    if (unreadable !== undefined) {
      logger.log("warn", "warm-up keys unreadable, ignored", { reason: unreadable });
      return;
    }
    for (const { index, sdkKey, problem } of skipped) {
      const key = sdkKey && { sdk_key: sdkKey };
      logger.log("warn", "warm-up entry skipped", { index, ...key, reason: problem });
    }
    logger.log("info", "warm-up begins", { valid: entries.length, invalid: skipped.length });
    // Never rejects.
    void this.#fetchAll(entries);
  }

  /** Returns the reasons why the relay is not ready; empty if it is. */
  notReady(): readonly string[] {
    const left = this.#total - this.#tried;
    return left === 0 ? [] : [`${left} of ${this.#total} warm-up entries were not tried yet`];
  }

  async #fetchAll(entries: readonly WarmUpEntry[]): Promise<void> {
    const { clock, logger } = this.#parts;
    const startedAt = clock.elapsed();
    const fetched = await Promise.all(entries.map((entry) => this.#fetch(entry)));
    const ok = fetched.filter((isHeld) => isHeld).length;
    const tookMs = Math.round(clock.elapsed() - startedAt);
    logger.log("info", "warm-up ended", { fetched: ok, failed: fetched.length - ok, took_ms: tookMs });
  }

  /** Resolves with whether the entry is in memory now. */
  async #fetch(entry: WarmUpEntry): Promise<boolean> {
    const { specs, idLists } = this.#parts;
    try {
      const asked =
        entry.kind === "specs"
          ? entry.formats.map((format) => specs.query.ask(entry.sdkKey, entry.version, format))
          : [idLists.query.ask(entry.sdkKey)];
      return (await Promise.all(asked)).every(({ kind }) => kind === "held");
    } catch {
      // The relay is shutting down.
      return false;
    } finally {
      this.#tried++;
    }
  }
}
