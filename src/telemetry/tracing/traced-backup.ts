import { type Context, ROOT_CONTEXT, SpanKind } from "@opentelemetry/api";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { SpecBackup } from "../../specs/spec-backup.ts";
import type { Spans } from "./spans.ts";
import { attributesOf } from "./traced-specs.ts";
import type { KeepFirst } from "./tracing.ts";

/**
 * Versions are written by a loop of the writer's own, for many feeds in turn: whose version it is, and so which trace
 * its write is a part of, is remembered with the version until it is written.
 */
export class TracedBackup {
  readonly #spans: Spans;
  readonly #cameWith = new WeakMap<Snapshot, Context>();

  constructor(spans: Spans) {
    this.#spans = spans;
  }

  keepFirst(inner: KeepFirst): KeepFirst {
    return (snapshot) => {
      this.#cameWith.set(snapshot, this.#spans.active);
      return inner(snapshot);
    };
  }

  wrap(inner: SpecBackup): SpecBackup {
    const { source } = inner;
    return {
      source,
      read: (feed, newerThan) =>
        this.#spans.inner(
          {
            name: "backup read",
            kind: SpanKind.CLIENT,
            attributes: { ...attributesOf(feed), source },
            ending: ({ kind }) => ({ attributes: { outcome: kind } }),
          },
          () => inner.read(feed, newerThan),
        ),
      write: (snapshot, instead) => this.#write(inner, snapshot, instead),
      touch: (snapshot) => inner.touch(snapshot),
      wasRemoved: (feed) => inner.wasRemoved(feed),
      remove: (feed) =>
        this.#spans.within(
          ROOT_CONTEXT,
          { name: "backup remove", kind: SpanKind.CLIENT, attributes: { ...attributesOf(feed), source } },
          () => inner.remove(feed),
        ),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
  }

  async #write(inner: SpecBackup, snapshot: Snapshot, instead: number | undefined) {
    const { lcut, feed } = snapshot;
    const written = await this.#spans.within(
      this.#cameWith.get(snapshot) ?? ROOT_CONTEXT,
      {
        name: "backup write",
        kind: SpanKind.CLIENT,
        attributes: { ...attributesOf(feed), source: inner.source, lcut },
        ending: ({ kind }) => ({ attributes: { outcome: kind } }),
      },
      () => inner.write(snapshot, instead),
    );
    this.#cameWith.delete(snapshot);
    return written;
  }
}
