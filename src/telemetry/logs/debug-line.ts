import { describeFeed } from "../../specs/feed.ts";
import { maskSdkKey } from "../../specs/sdk-key.ts";
import type { RelayEvent } from "../relay-event.ts";
import type { Logger } from "./logger.ts";

/** All but those whose fields are not for people. */
export type DebugEvent = Exclude<RelayEvent, { readonly kind: "spec_updated" }>;

const ABSENT = { feed: undefined, sdkKey: undefined, tookMs: undefined };

/** An event as one line of `--debug-logging`: its kind in words, and its fields; no SDK key whole. */
export function debugLine(logger: Logger, event: DebugEvent): void {
  const { kind, feed, sdkKey, tookMs, ...fields } = { ...ABSENT, ...event };
  logger.log("debug", kind.replaceAll("_", " "), {
    ...fields,
    ...(feed !== undefined && { feed: describeFeed(feed) }),
    ...(sdkKey !== undefined && { sdk_key: maskSdkKey(sdkKey) }),
    ...(tookMs !== undefined && { took_ms: Number(tookMs.toFixed(3)) }),
  });
}
