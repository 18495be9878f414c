import type { ToServing } from "../serving/messages.ts";
import type { SpecUpdate, SpecUse } from "../serving/spec-replica.ts";
import type { HeldFeed, SpecStore } from "../specs/store.ts";
import type { ServingThread } from "./serving-thread.ts";

interface SpecPublisherOptions {
  readonly store: SpecStore;
  readonly broadcast: (message: ToServing) => void;
}

/** Keeps the replicas of the serving threads equal to the store, and the store informed of how they use it. */
export class SpecPublisher {
  readonly #options: SpecPublisherOptions;

  constructor(options: SpecPublisherOptions) {
    this.#options = options;
    const { store, broadcast } = options;
    store.listen({
      published: (held) => broadcast(toPublished(held)),
      confirmed: ({ feed, confirmed }) => {
        if (confirmed !== undefined) broadcast({ kind: "confirmed", feed, confirmed });
      },
      removed: ({ feed, ended }) => {
        if (ended !== undefined) broadcast({ kind: "removed", feed, reason: ended });
      },
    });
  }

  /** Sends everything that is held to a new thread. */
  copyTo(thread: ServingThread): void {
    for (const held of this.#options.store.held()) thread.send(toPublished(held));
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
