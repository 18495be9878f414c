import { type Context, ROOT_CONTEXT, SpanKind } from "@opentelemetry/api";
import { maskSdkKey } from "../../access/sdk-key.ts";
import type { ManifestOutcome, ManifestSource } from "../../id-lists/manifest.ts";
import { countEvents } from "../../log-events/chunk.ts";
import type { EventSink, SendOutcome } from "../../log-events/queue.ts";
import type { AcquireOutcome } from "../../specs/acquire.ts";
import type { Overwritable, SpecBackup } from "../../specs/backup.ts";
import type { Feed } from "../../specs/feed.ts";
import type { Preparation } from "../../specs/payload/prepare.ts";
import type { SpecPreparer } from "../../specs/payload/preparer.ts";
import type { RefreshBackup } from "../../specs/refresh.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { FetchOutcome, SpecSource } from "../../specs/source.ts";
import { toPathTag, toTags } from "../metrics/tags.ts";
import type { SpanOutcome, Spans } from "./spans.ts";
import type { Acquirer, Manifests, Refresher } from "./tracing.ts";

/** The root span of a refresh. A poll starts a trace of its own; a cache miss belongs to the client's trace. */
export function tracedAcquirer(inner: Acquirer, spans: Spans): Acquirer {
  return {
    acquire: (feed, priority) => {
      const isPoll = priority === "poll";
      return spans.within(
        isPoll ? ROOT_CONTEXT : spans.fromClient,
        {
          name: isPoll ? "poll" : "cache miss",
          kind: isPoll ? SpanKind.INTERNAL : SpanKind.SERVER,
          attributes: { ...toAttributes(feed), priority },
          describe: describeRefresh,
        },
        () => inner.acquire(feed, priority),
      );
    },
  };
}

export function tracedRefresher(inner: Refresher, spans: Spans): Refresher {
  return {
    refresh: (feed, priority) =>
      spans.inner({ name: "refresh", attributes: toAttributes(feed), describe: describeRefresh }, () =>
        inner.refresh(feed, priority),
      ),
  };
}

export function tracedSource(inner: SpecSource, spans: Spans): SpecSource {
  return {
    fetchSpecs: (feed, held, signal, progressed) =>
      spans.inner(
        {
          name: `GET ${toPathTag(feed)}`,
          kind: SpanKind.CLIENT,
          attributes: { ...toAttributes(feed), since_time: held.lcut },
          describe: describeFetch,
        },
        () => inner.fetchSpecs(feed, held, signal, progressed),
      ),
  };
}

export function tracedPreparer(inner: SpecPreparer, spans: Spans): SpecPreparer {
  return {
    prepare: (raw, known) =>
      spans.inner(
        {
          name: "prepare",
          attributes: { format: raw.format, bytes: raw.body.length, content_encoding: raw.contentEncoding },
          describe: describePreparation,
        },
        () => inner.prepare(raw, known),
      ),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

function toAttributes(feed: Feed) {
  return { ...toTags(feed), format: feed.format };
}

function describeRefresh({ kind }: AcquireOutcome): SpanOutcome {
  const isFailure = kind === "failed" || kind === "full";
  return { attributes: { outcome: kind }, error: isFailure ? kind : undefined };
}

function describeFetch(outcome: FetchOutcome): SpanOutcome {
  const { kind } = outcome;
  switch (kind) {
    case "payload":
      return { attributes: { outcome: kind, bytes: outcome.raw.body.length } };
    case "unauthorized":
      return {
        attributes: { outcome: kind, status_code: outcome.status },
        error: `upstream answered ${outcome.status}`,
      };
    case "failed":
      return { attributes: { outcome: kind, cause: outcome.cause }, error: outcome.detail };
    case "refused":
      return { attributes: { outcome: kind, reason: outcome.reason }, error: outcome.detail };
    case "no_update":
      return { attributes: { outcome: kind } };
  }
}

function describePreparation(preparation: Preparation): SpanOutcome {
  const { kind } = preparation;
  if (kind === "prepared") return { attributes: { outcome: kind, lcut: preparation.payload.lcut } };
  return { attributes: { outcome: kind }, error: kind === "refused" ? preparation.detail : undefined };
}

/**
 * The loop of the backup writer writes versions of many feeds, outside of the work that fetched them. So the context of each
 * version is kept until it is written, and the write becomes part of the trace that fetched it.
 */
export class TracedBackup {
  readonly #spans: Spans;
  readonly #contexts = new WeakMap<Snapshot, Context>();

  constructor(spans: Spans) {
    this.#spans = spans;
  }

  wrapWriter(inner: RefreshBackup): RefreshBackup {
    return {
      writeAhead: (snapshot) => {
        this.#contexts.set(snapshot, this.#spans.active);
        return inner.writeAhead(snapshot);
      },
      remove: (feed, options) => inner.remove(feed, options),
    };
  }

  wrap(inner: SpecBackup): SpecBackup {
    const { source, hasCopies = false } = inner;
    return {
      source,
      hasCopies,
      read: (feed, newerThan) =>
        this.#spans.inner(
          {
            name: "backup read",
            kind: SpanKind.CLIENT,
            attributes: { ...toAttributes(feed), source },
            describe: ({ kind }) => ({ attributes: { outcome: kind } }),
          },
          () => inner.read(feed, newerThan),
        ),
      readHistory: (feed) => inner.readHistory(feed),
      write: (snapshot, instead) => this.#write(inner, snapshot, instead),
      touch: (snapshot) => inner.touch(snapshot),
      wasRemoved: (feed) => inner.wasRemoved(feed),
      remove: (feed) =>
        this.#spans.within(
          ROOT_CONTEXT,
          { name: "backup remove", kind: SpanKind.CLIENT, attributes: { ...toAttributes(feed), source } },
          () => inner.remove(feed),
        ),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
  }

  async #write(inner: SpecBackup, snapshot: Snapshot, instead: Overwritable | undefined) {
    const { lcut, feed } = snapshot;
    const written = await this.#spans.within(
      this.#contexts.get(snapshot) ?? ROOT_CONTEXT,
      {
        name: "backup write",
        kind: SpanKind.CLIENT,
        attributes: { ...toAttributes(feed), source: inner.source, lcut },
        describe: ({ kind }) => ({ attributes: { outcome: kind } }),
      },
      () => inner.write(snapshot, instead),
    );
    this.#contexts.delete(snapshot);
    return written;
  }
}

/** A request to upstream contains events of many clients, so it starts a trace of its own. */
export function tracedEventSink(inner: EventSink, spans: Spans): EventSink {
  return {
    send: (group, chunks, signal) =>
      spans.within(
        ROOT_CONTEXT,
        {
          name: "POST /v1/log_event",
          kind: SpanKind.CLIENT,
          attributes: { sdk_key: maskSdkKey(group.sdkKey), events: countEvents(chunks) },
          describe: describeSend,
        },
        () => inner.send(group, chunks, signal),
      ),
  };
}

function describeSend(outcome: SendOutcome): SpanOutcome {
  const { kind } = outcome;
  switch (kind) {
    case "accepted":
      return { attributes: { outcome: kind } };
    case "retry":
      return { attributes: { outcome: kind }, error: outcome.detail };
    case "too_large":
      return { attributes: { outcome: kind }, error: "upstream answered 413" };
    case "refused":
    case "unauthorized":
      return {
        attributes: { outcome: kind, status_code: outcome.status },
        error: `upstream answered ${outcome.status}`,
      };
  }
}

/** A refresh for a client belongs to the client's trace; a poll starts a trace of its own. */
export function tracedManifests(inner: Manifests, spans: Spans): Manifests {
  return {
    refresh: (sdkKey) =>
      spans.within(
        spans.fromClient,
        {
          name: "refresh ID lists",
          attributes: { sdk_key: maskSdkKey(sdkKey) },
          describe: (outcome) => ({
            attributes: { outcome },
            error: outcome === "failed" ? outcome : undefined,
          }),
        },
        () => inner.refresh(sdkKey),
      ),
  };
}

export function tracedManifestSource(inner: ManifestSource, spans: Spans): ManifestSource {
  return {
    fetchManifest: (sdkKey, signal) =>
      spans.inner(
        {
          name: "POST /v1/get_id_lists",
          kind: SpanKind.CLIENT,
          attributes: { sdk_key: maskSdkKey(sdkKey) },
          describe: describeManifest,
        },
        () => inner.fetchManifest(sdkKey, signal),
      ),
  };
}

function describeManifest(outcome: ManifestOutcome): SpanOutcome {
  const { kind } = outcome;
  switch (kind) {
    case "manifest":
      return { attributes: { outcome: kind, bytes: outcome.text.length } };
    case "unauthorized":
      return {
        attributes: { outcome: kind, status_code: outcome.status },
        error: `upstream answered ${outcome.status}`,
      };
    case "failed":
      return { attributes: { outcome: kind, cause: outcome.cause }, error: outcome.detail };
  }
}
