import type { RpcEvent } from "../grpc/events.ts";
import { feedId } from "../specs/feed.ts";
import { Series } from "../telemetry/metrics/series.ts";
import type { CountedRpcs } from "../telemetry/topics/rpc.ts";

interface RpcCountsOptions {
  /** Whether sinks export measurements at intervals, which need latencies. */
  readonly isPushing: boolean;
  /** Whether each RPC is logged. */
  readonly isDebug: boolean;
  /** Returns false if there is no room for an event of its own. Always has room for events of streams. */
  readonly emit: (event: RpcEvent) => boolean;
}

interface Tally extends Pick<CountedRpcs, "feed" | "code"> {
  readonly series: Series;
  bytes: number;
}

/** Counts the unary RPCs of one thread until the control plane takes the counts. Other events, and at level debug all, are emitted. */
export class RpcCounts {
  readonly #emit: RpcCountsOptions["emit"];
  readonly #isPushing: boolean;
  #isDebug: boolean;
  #tallies = new Map<string, Tally>();

  constructor({ emit, isPushing, isDebug }: RpcCountsOptions) {
    this.#emit = emit;
    this.#isPushing = isPushing;
    this.#isDebug = isDebug;
  }

  setDebug(isDebug: boolean): void {
    this.#isDebug = isDebug;
  }

  add(event: RpcEvent): void {
    const isSingle = event.kind !== "rpc_answered" || this.#isDebug;
    if (isSingle && this.#emit(event)) return;
    if (event.kind !== "rpc_answered") return;
    const tally = this.#find(event);
    tally.series.record(event.tookMs);
    tally.bytes += event.bytes;
  }

  /** Returns what was counted since the last call. */
  take(): readonly CountedRpcs[] {
    const tallies = this.#tallies;
    this.#tallies = new Map();
    return Array.from(tallies.values(), ({ feed, code, bytes, series }) => {
      return { feed, code, bytes, measured: series.measured() };
    });
  }

  #find({ feed, code }: Pick<CountedRpcs, "feed" | "code">): Tally {
    const id = `${code} ${feed === undefined ? "" : feedId(feed)}`;
    const known = this.#tallies.get(id);
    if (known !== undefined) return known;
    const series = new Series({}, { timed: true, keepsSamples: this.#isPushing });
    const tally = { feed, code, series, bytes: 0 };
    this.#tallies.set(id, tally);
    return tally;
  }
}
