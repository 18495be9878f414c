import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SharedCount } from "../../src/platform/shared-count.ts";
import { InFlight } from "../../src/server/limits.ts";
import { frameSpec } from "../../src/specs/payload/grpc-frame.ts";
import { HeldFeed } from "../../src/specs/store.ts";
import type { StreamEvent } from "../../src/streams/events.ts";
import { MessageLimit } from "../../src/streams/message-limit.ts";
import { FeedFinder } from "../../src/streams/requested-feed.ts";
import { SpecStreams } from "../../src/streams/spec-stream.ts";
import { StatusError } from "../../src/streams/status-error.ts";
import { StreamLimit } from "../../src/streams/stream-limit.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

const size = fc.nat(60);
const step = fc.oneof(
  fc.record({ kind: fc.constant("publish" as const), size }),
  fc.record({ kind: fc.constant("limit" as const), size }),
  fc.constant({ kind: "take" as const }),
  fc.constant({ kind: "heartbeat" as const }),
);

/** A version whose message has `bytes` bytes in addition to those of an empty one. */
const version = (lcut: number, bytes: number) => {
  const { grpcFrame } = frameSpec(new Uint8Array(bytes), lcut);
  return { ...snapshotOf(feedOf("secret-a"), lcut), grpcFrame };
};

const messageBytes = ({ grpcFrame }: { readonly grpcFrame: Uint8Array }) => grpcFrame.length - 5;

/** The streams of one feed, and what they emit. */
function openFeed(held: HeldFeed) {
  const events: StreamEvent[] = [];
  const open = new StreamLimit(1, 100, new SharedCount());
  const inFlight = new InFlight(1, new SharedCount(), () => {});
  const finder = new FeedFinder({ held: () => held, ask: () => expect.unreachable() }, inFlight);
  const emit = (event: StreamEvent) => events.push(event);
  const streams = new SpecStreams({ finder, limit: open, clock: new FakeClock(), emit });
  const kinds = () => events.map(({ kind }) => kind);
  return { streams, open, kinds };
}

describe("a stream of a protocol that limits messages", () => {
  test("sends no version above the limit, and ends when it is to send anything while the newest is above it", () => {
    const property = fc.property(size, size, fc.nat(3), fc.array(step), (first, max, sinceTime, steps) => {
      const held = new HeldFeed(version(1, first));
      const { streams, open, kinds } = openFeed(held);
      const messageLimit = new MessageLimit(max);
      const isTooLarge = () => messageBytes(held.snapshot) > messageLimit.maxBytes;
      const stream = streams.enter();
      const request = { sdkKey: "secret-a", version: "v2", sinceTime, headers: () => new Headers() } as const;
      const isRefused = isTooLarge();
      if (isRefused) {
        expect(() => stream.openHeld({ ...request, messageLimit })).toThrow(StatusError);
        expect(kinds()).toEqual(["spec_too_large", "stream_refused"]);
      } else {
        stream.openHeld({ ...request, messageLimit });
      }
      for (const each of steps) {
        if (each.kind === "publish") held.replace(version(held.snapshot.lcut + 1, each.size), {});
        else if (each.kind === "limit") messageLimit.setMax(each.size);
        else if (isRefused) expect(stream.take()).toBeUndefined();
        else {
          const wasEnded = stream.ended !== undefined;
          if (each.kind === "heartbeat") stream.heartbeatDue();
          const item = stream.take();
          if (wasEnded || isTooLarge()) {
            expect([item, stream.ended?.code]).toEqual([undefined, "resource_exhausted"]);
          } else if (item?.kind === "spec") {
            expect(messageBytes(item.snapshot)).toBeLessThanOrEqual(messageLimit.maxBytes);
            expect(item.snapshot).toBe(held.snapshot);
          }
        }
      }
      // Said once per stream.
      expect(kinds().filter((kind) => kind === "spec_too_large").length).toBe(stream.ended ? 1 : 0);
      stream.close();
      expect([open.open, held.isFollowed]).toEqual([0, false]);
    });
    fc.assert(property, { numRuns: 500 });
  });

  test("is not limited without a limit of its protocol", () => {
    fc.assert(
      fc.property(size, (bytes) => {
        const held = new HeldFeed(version(1, bytes));
        const stream = openFeed(held).streams.enter();
        stream.openHeld({ sdkKey: "secret-a", version: "v2", sinceTime: 0, headers: () => new Headers() });
        expect(stream.take()).toEqual({ kind: "spec", snapshot: held.snapshot });
        stream.close();
      }),
    );
  });
});
