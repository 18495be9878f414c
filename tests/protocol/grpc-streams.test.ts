import { describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { padTo } from "../support/common/padding.ts";
import { TcpValve } from "../support/common/tcp-valve.ts";
import { eventually } from "../support/common/wait.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, forKey, publishKey } from "../support/upstream/published-key.ts";

const NO_UPDATE = '{"has_updates":false}';
const shared = shareRelay();
const connect = () => new GrpcClient(shared.relay.grpcUrl);

describe("Streams: the first message of StreamConfigSpec comes at once", () => {
  test.each([undefined, 0, 1, FIRST_LCUT - 1])(
    "the full spec if sinceTime is older: %p",
    async (sinceTime) => {
      const { sdkKey, v1, v2, lcut } = publishKey(shared.upstream, "secret-first-full");
      using client = connect();
      const since = sinceTime !== undefined && { sinceTime };
      using core = client.streamConfigSpec({ sdkKey, version: 2, ...since });
      expect(await core.next()).toEqual({ spec: v2, lastUpdated: lcut });
      // py and java send no version.
      using py = client.streamConfigSpec({ sdkKey, ...since });
      expect(await py.next()).toEqual({ spec: v1, lastUpdated: lcut });
    },
  );

  test('{"has_updates":false} if sinceTime is not older', async () => {
    const { sdkKey, lcut } = publishKey(shared.upstream, "secret-first-none");
    using client = connect();
    for (const sinceTime of [lcut, lcut + 1]) {
      using stream = client.streamConfigSpec({ sdkKey, version: 2, sinceTime });
      const { spec, lastUpdated } = await stream.next();
      expect(spec).toBe(NO_UPDATE);
      expect(lastUpdated).toBeLessThanOrEqual(sinceTime);
    }
  });
});

describe("Streams: then one message per new spec", () => {
  test("each version once, in order, with its lcut, to every stream; one upstream request per poll", async () => {
    const sdkKey = "secret-updates";
    const first = publishKey(shared.upstream, sdkKey);
    using one = connect();
    using other = connect();
    using oneV2 = one.streamConfigSpec({ sdkKey, version: 2 });
    using otherV2 = other.streamConfigSpec({ sdkKey, version: 2, sinceTime: first.lcut });
    using otherV1 = other.streamConfigSpec({ sdkKey });
    expect(await oneV2.next()).toEqual({ spec: first.v2, lastUpdated: first.lcut });
    expect(await otherV2.next()).toEqual({ spec: NO_UPDATE, lastUpdated: first.lcut });
    expect(await otherV1.next()).toEqual({ spec: first.v1, lastUpdated: first.lcut });
    for (const number of [1, 2, 3]) {
      const { v1, v2, lcut } = publishKey(shared.upstream, sdkKey, number);
      expect(await oneV2.next()).toEqual({ spec: v2, lastUpdated: lcut });
      expect(await otherV2.next()).toEqual({ spec: v2, lastUpdated: lcut });
      expect(await otherV1.next()).toEqual({ spec: v1, lastUpdated: lcut });
    }
    const polls = () => shared.upstream.requests.filter(forKey(sdkKey).when).length;
    const polled = polls();
    await eventually(() => expect(polls()).toBeGreaterThanOrEqual(polled + 2), { withinMs: 15_000 });
    expect([oneV2.waiting, otherV2.waiting, otherV1.waiting]).toEqual([0, 0, 0]);
  }, 60_000);

  test("core reconnects with its lcut: no update, then the next version", async () => {
    const { sdkKey, lcut } = publishKey(shared.upstream, "secret-reconnect");
    using client = connect();
    using before = client.streamConfigSpec({ sdkKey, version: 2, sinceTime: 0 });
    expect((await before.next()).lastUpdated).toBe(lcut);
    before.cancel();
    using after = client.streamConfigSpec({ sdkKey, version: 2, sinceTime: lcut });
    expect(await after.next()).toEqual({ spec: NO_UPDATE, lastUpdated: lcut });
    const newer = publishKey(shared.upstream, sdkKey, 1);
    expect(await after.next()).toEqual({ spec: newer.v2, lastUpdated: newer.lcut });
  });

  test("an update of 3.9 MB", async () => {
    const { sdkKey } = publishKey(shared.upstream, "secret-large-update");
    using client = connect();
    using stream = client.streamConfigSpec({ sdkKey });
    await stream.next();
    const [lcut, bytes] = [FIRST_LCUT + 1, 3_900_000];
    const text = JSON.stringify(padTo(specV1({ lcut }), bytes));
    shared.upstream.publish(sdkKey, "v1", text, lcut);
    expect(await stream.next()).toEqual({ spec: text, lastUpdated: lcut });
  }, 60_000);

  test("a client that does not read delays no other, and gets the newest version when it reads again", async () => {
    const sdkKey = "secret-slow-reader";
    const publishLarge = (number: number): number => {
      const lcut = FIRST_LCUT + number;
      shared.upstream.publish(sdkKey, "v2", padTo(specV2({ lcut }), 1_500_000), lcut);
      return lcut;
    };
    publishLarge(0);
    await using valve = await TcpValve.start(shared.relay.grpcPort);
    using slow = new GrpcClient(valve.url);
    using quick = connect();
    using slowly = slow.streamConfigSpec({ sdkKey, version: 2 });
    await slowly.next();
    valve.close();
    using quickly = quick.streamConfigSpec({ sdkKey, version: 2 });
    await quickly.next();
    let newest = 0;
    for (const number of [1, 2, 3, 4]) {
      newest = publishLarge(number);
      expect((await quickly.next()).lastUpdated).toBe(newest);
    }
    valve.open();
    const received = [(await slowly.next()).lastUpdated];
    while (received.at(-1) !== newest) received.push((await slowly.next()).lastUpdated);
    expect(received).toEqual([...new Set(received)].sort());
    // What was in flight when the client stopped reading, and the newest version.
    expect(received.length).toBeLessThanOrEqual(2);
  }, 60_000);
});
