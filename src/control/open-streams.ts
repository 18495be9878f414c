import type { EmitRpcEvent, RpcEvent } from "../grpc/events.ts";
import { type Feed, feedId } from "../specs/feed.ts";

interface OpenStreamsOfFeed {
  readonly feed: Feed;
  open: number;
}

/**
 * Passes on the RPC events of all serving threads, and knows which streams each has open: a thread that dies cannot say that
 * they have ended.
 */
export class OpenStreams {
  readonly #emit: EmitRpcEvent;
  /** The streams of each feed, per thread. */
  readonly #threads = new Map<object, Map<string, OpenStreamsOfFeed>>();
  readonly #ended = new WeakSet<object>();
  #open = 0;

  constructor(emit: EmitRpcEvent) {
    this.#emit = emit;
  }

  /** Receives an event of a thread, which any object of its own identifies. Ignored after {@link closeAll} of that thread. */
  record(thread: object, event: RpcEvent): void {
    if (this.#ended.has(thread)) return;
    switch (event.kind) {
      case "stream_opened":
        this.#add(thread, event.feed, event.count ?? 1);
        break;
      case "stream_closed":
        this.#add(thread, event.feed, -(event.count ?? 1));
        break;
      case "stream_sent":
      case "stream_refused":
      case "spec_too_large":
      case "rpc_answered":
        break;
    }
    this.#emit(event);
  }

  /** Emits the end of every stream of a thread that has ended. */
  closeAll(thread: object): void {
    const feeds = this.#threads.get(thread)?.values() ?? [];
    this.#threads.delete(thread);
    this.#ended.add(thread);
    for (const { feed, open: count } of feeds) {
      this.#open -= count;
      this.#emit({ kind: "stream_closed", feed, count, openStreams: this.#open });
    }
  }

  #add(thread: object, feed: Feed, count: number): void {
    const feeds = this.#threads.get(thread) ?? new Map<string, OpenStreamsOfFeed>();
    this.#threads.set(thread, feeds);
    const id = feedId(feed);
    const streams = feeds.get(id) ?? { feed, open: 0 };
    streams.open += count;
    this.#open += count;
    // A batch may have the end of a stream before the start of another: 0 says nothing about the order.
    if (streams.open === 0) feeds.delete(id);
    else feeds.set(id, streams);
  }
}
