import { SpanKind } from "@opentelemetry/api";
import type { ManifestOutcome, ManifestSource } from "../../id-lists/manifest-source.ts";
import { maskSdkKey } from "../../specs/sdk-key.ts";
import type { Ending, Spans } from "./spans.ts";
import type { Manifests } from "./tracing.ts";

/** A part of the trace of the client that waits for it; a poll is one of its own. */
export function tracedManifests(inner: Manifests, spans: Spans): Manifests {
  return {
    refresh: (sdkKey) =>
      spans.within(
        spans.carried,
        {
          name: "refresh ID lists",
          attributes: { sdk_key: maskSdkKey(sdkKey) },
          ending: (outcome) => ({
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
          ending: endingOf,
        },
        () => inner.fetchManifest(sdkKey, signal),
      ),
  };
}

function endingOf(outcome: ManifestOutcome): Ending {
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
