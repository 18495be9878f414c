import type { EmitRpcEvent, RpcEvent } from "../grpc/events.ts";
import { type Feed, feedId } from "../specs/feed.ts";
import { Series } from "../telemetry/metrics/series.ts";
import type { CountedRpcs } from "../telemetry/topics/rpc.ts";

type Sent = Extract<RpcEvent, { kind: "stream_sent" }>;
type Answered = Extract<RpcEvent, { kind: "rpc_answered" }>;

interface SentCount extends Pick<Sent, "feed" | "item"> {
  count: number;
}

interface AnsweredCount extends Pick<Answered, "feed" | "code"> {
  readonly series: Series;
}

interface RpcCountsOptions {
  /** Whether sinks export measurements at intervals, which need latencies. */
  readonly isPushing: boolean;
  readonly isDebug: boolean;
}

/** Counts the frequent events of RPCs until the control plane takes the counts: one update may send to 10,000 streams. */
export class RpcCounts {
  readonly #emit: EmitRpcEvent;
  readonly #isPushing: boolean;
  #isDebug: boolean;
  readonly #sent = new Map<string, SentCount>();
  readonly #answered = new Map<string, AnsweredCount>();

  /** `emit` receives all other events, and at log level debug these as well. */
  constructor(emit: EmitRpcEvent, { isPushing, isDebug }: RpcCountsOptions) {
    this.#emit = emit;
    this.#isPushing = isPushing;
    this.#isDebug = isDebug;
  }

  setDebug(isDebug: boolean): void {
    this.#isDebug = isDebug;
  }

  add(event: RpcEvent): void {
    if (this.#isDebug) {
      this.#emit(event);
      return;
    }
    switch (event.kind) {
      case "stream_sent":
        this.#findSent(event).count++;
        return;
      case "rpc_answered":
        this.#findAnswered(event).series.record(event.tookMs);
        return;
      default:
        this.#emit(event);
    }
  }

  /** Returns what was counted since the last time. */
  take(): readonly CountedRpcs[] {
    const sent = [...this.#sent.values()].map((each) => ({ kind: "streams_sent", ...each }) as const);
    const answered = [...this.#answered.values()].flatMap(({ feed, code, series }) => {
      const measured = series.take();
      return measured === undefined ? [] : [{ kind: "rpcs_answered", feed, code, measured } as const];
    });
    this.#sent.clear();
    this.#answered.clear();
    return [...sent, ...answered];
  }

  #findSent({ feed, item }: Sent): SentCount {
    const id = `${item} ${feedId(feed)}`;
    const found = this.#sent.get(id) ?? { feed, item, count: 0 };
    this.#sent.set(id, found);
    return found;
  }

  #findAnswered({ feed, code }: Answered): AnsweredCount {
    const id = `${code} ${toId(feed)}`;
    const series = () => new Series({}, { timed: true, keepsSamples: this.#isPushing });
    const found = this.#answered.get(id) ?? { feed, code, series: series() };
    this.#answered.set(id, found);
    return found;
  }
}

const toId = (feed: Feed | undefined): string => (feed === undefined ? "" : feedId(feed));
