import type { AllowList } from "../access/allow-list.ts";
import type { ToServing } from "../serving/messages.ts";
import type { SpecUpdate, SpecUse } from "../serving/spec-replica.ts";
import type { HeldFeed, SpecStore } from "../specs/store.ts";
import type { ServingThread } from "./serving-thread.ts";

interface SpecPublisherOptions {
  readonly store: SpecStore;
  /** Says what clients may get: the store also holds what the relay itself needs. */
  readonly allowList: Pick<AllowList, "allows" | "onRemoved">;
  readonly broadcast: (message: ToServing) => void;
}

/**
 * Keeps the replicas of the serving threads equal to the store, and the store informed of how they use it. A feed whose SDK key is
 * not allowed is in no replica, until the key is.
 */
export class SpecPublisher {
  readonly #options: SpecPublisherOptions;
  readonly #withheld = new Set<HeldFeed>();

  constructor(options: SpecPublisherOptions) {
    this.#options = options;
    const { store, allowList, broadcast } = options;
    for (const held of store.held()) if (!allowList.allows(held.feed.sdkKey)) this.#withheld.add(held);
    store.listen({
      published: (held) => this.#publish(held),
      confirmed: (held) => {
        const { feed, confirmed } = held;
        if (confirmed !== undefined && !this.#withheld.has(held)) {
          broadcast({ kind: "confirmed", feed, confirmed });
        }
      },
      removed: (held) => {
        const { feed, ended } = held;
        if (this.#withheld.delete(held) || ended === undefined) return;
        broadcast({ kind: "removed", feed, reason: ended });
      },
    });
    allowList.onRemoved(() => {
      for (const held of [...this.#withheld]) this.#publish(held);
    });
  }

  #publish(held: HeldFeed): void {
    const { allowList, broadcast } = this.#options;
    if (!allowList.allows(held.feed.sdkKey)) {
      this.#withheld.add(held);
      return;
    }
    this.#withheld.delete(held);
    broadcast(toPublished(held));
  }

  /** Sends everything that clients may get to a new thread. */
  copyTo(thread: ServingThread): void {
    for (const held of this.#options.store.held()) {
      if (!this.#withheld.has(held)) thread.send(toPublished(held));
    }
  }

  record(use: SpecUse, thread: ServingThread): void {
    const { store } = this.#options;
    switch (use.kind) {
      case "used":
        for (const { sdkKey, version, format } of use.feeds) store.find(sdkKey, version, format);
        return;
      case "followed":
        store.peek(use.feed)?.followElsewhere(thread.name, use.followers);
    }
  }

  /** The streams of a lost thread have ended. */
  forget(thread: ServingThread): void {
    for (const held of this.#options.store.held()) held.followElsewhere(thread.name, 0);
  }
}

function toPublished({ snapshot, confirmed }: HeldFeed): SpecUpdate {
  return { kind: "published", snapshot, confirmed };
}
