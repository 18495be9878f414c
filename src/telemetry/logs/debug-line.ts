import type { RpcEvent } from "../../grpc/events.ts";
import type { HttpEvent } from "../../http/events.ts";
import type { RedisEvent } from "../../redis/events.ts";
import { describeFeed } from "../../specs/feed.ts";
import type { Logger } from "./logger.ts";

/** An event as one line of `--debug-logging`. */
export function debugLine(logger: Logger, event: RpcEvent | HttpEvent | RedisEvent): void {
  const { kind, feed, tookMs, ...fields } = { feed: undefined, tookMs: undefined, ...event };
  logger.log("debug", kind.replaceAll("_", " "), {
    ...fields,
    ...(feed !== undefined && { feed: describeFeed(feed) }),
    ...(tookMs !== undefined && { took_ms: Number(tookMs.toFixed(3)) }),
  });
}
