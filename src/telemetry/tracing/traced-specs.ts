import { ROOT_CONTEXT, SpanKind } from "@opentelemetry/api";
import type { AcquireOutcome } from "../../specs/acquire.ts";
import type { Feed } from "../../specs/feed.ts";
import type { Preparation } from "../../specs/prepare.ts";
import type { SpecPreparer } from "../../specs/preparer.ts";
import type { FetchOutcome, SpecSource } from "../../specs/spec-source.ts";
import { pathOf, tagsOf } from "../metrics/feed-tags.ts";
import type { Ending, Spans } from "./spans.ts";
import type { Acquirer, Refresher } from "./tracing.ts";

/**
 * The root of what is done for a feed. A poll is nobody's child, whoever's request it was that the feed came with; a
 * first sight is the client's.
 */
export function tracedAcquirer(inner: Acquirer, spans: Spans): Acquirer {
  return {
    acquire: (feed, priority) => {
      const isPoll = priority === "poll";
      return spans.within(
        isPoll ? ROOT_CONTEXT : spans.carried,
        {
          name: isPoll ? "poll" : "first sight",
          kind: isPoll ? SpanKind.INTERNAL : SpanKind.SERVER,
          attributes: { ...attributesOf(feed), priority },
          ending: endingOfRefresh,
        },
        () => inner.acquire(feed, priority),
      );
    },
  };
}

export function tracedRefresher(inner: Refresher, spans: Spans): Refresher {
  return {
    refresh: (feed, priority) =>
      spans.inner({ name: "refresh", attributes: attributesOf(feed), ending: endingOfRefresh }, () =>
        inner.refresh(feed, priority),
      ),
  };
}

export function tracedSource(inner: SpecSource, spans: Spans): SpecSource {
  return {
    fetchSpecs: (feed, sinceTime, signal, progressed) =>
      spans.inner(
        {
          name: `GET ${pathOf(feed)}`,
          kind: SpanKind.CLIENT,
          attributes: { ...attributesOf(feed), since_time: sinceTime },
          ending: endingOfFetch,
        },
        () => inner.fetchSpecs(feed, sinceTime, signal, progressed),
      ),
  };
}

export function tracedPreparer(inner: SpecPreparer, spans: Spans): SpecPreparer {
  return {
    prepare: (raw) =>
      spans.inner(
        {
          name: "prepare",
          attributes: { format: raw.format, bytes: raw.body.length, content_encoding: raw.contentEncoding },
          ending: endingOfPreparation,
        },
        () => inner.prepare(raw),
      ),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

export function attributesOf(feed: Feed) {
  return { ...tagsOf(feed), format: feed.format };
}

function endingOfRefresh({ kind }: AcquireOutcome): Ending {
  const isFailure = kind === "failed" || kind === "full";
  return { attributes: { outcome: kind }, error: isFailure ? kind : undefined };
}

function endingOfFetch(outcome: FetchOutcome): Ending {
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

function endingOfPreparation(preparation: Preparation): Ending {
  const { kind } = preparation;
  if (kind === "prepared") return { attributes: { outcome: kind, lcut: preparation.payload.lcut } };
  return { attributes: { outcome: kind }, error: kind === "refused" ? preparation.detail : undefined };
}
