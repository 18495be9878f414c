import { describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { packRequest } from "../../src/log-events/chunk.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { GarbageLimit } from "../../src/platform/garbage-limit.ts";
import { UpstreamEndpoint } from "../../src/upstream/endpoint.ts";
import { StatsigEvents } from "../../src/upstream/log-events.ts";
import { failureOf } from "../support/common/failure.ts";
import { FakeClock, settle } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { chunksOf, eventGroup } from "../support/log-events/event-batches.ts";
import { decodeForwarded } from "../support/log-events/event-relay.ts";
import { FixedReplyServer } from "../support/upstream/fixed-reply-server.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";

const group = eventGroup("a");
const sinkTo = ({ url }: { readonly url: string }, clock = systemClock) =>
  new StatsigEvents(
    new UpstreamEndpoint({ baseUrl: url, proxied: false, relayVersion: "1.2.3" }),
    { pack: async (contents) => packRequest(contents, new GarbageLimit()) },
    clock,
  );

const send = (upstream: Upstream) =>
  sinkTo(upstream).send(group, chunksOf(["1", '{"a": 2}']), new AbortController().signal);

describe("Upstream requests: log events", () => {
  test("sends POST /v1/log_event with the key, the count and the SDK's headers, in gzip", async () => {
    await using upstream = await startUpstream();
    expect(await send(upstream)).toEqual({ kind: "accepted" });
    const [request] = upstream.requests;
    expect([request?.method, request?.url]).toEqual(["POST", "/v1/log_event"]);
    expect(request?.headers).toMatchObject({
      "statsig-api-key": group.sdkKey,
      "statsig-event-count": "2",
      "x-sfp-version": "1.2.3",
      "content-encoding": "gzip",
      ...group.headers,
    });
    const text = request && decodeForwarded(request).text;
    expect(text).toBe(`{"events":[1,{"a": 2}],"statsigMetadata":${group.metadata}}`);
  });

  test.each([
    [200, { kind: "accepted" }],
    [202, { kind: "accepted" }],
    [400, { kind: "refused", status: 400 }],
    [401, { kind: "unauthorized", status: 401 }],
    [403, { kind: "unauthorized", status: 403 }],
    [404, { kind: "refused", status: 404 }],
    [413, { kind: "too_large" }],
    [302, { kind: "retry", trouble: "upstream", detail: "upstream answered 302" }],
    [408, { kind: "retry", trouble: "upstream", detail: "upstream answered 408" }],
    [429, { kind: "retry", trouble: "key", detail: "upstream answered 429" }],
    [500, { kind: "retry", trouble: "upstream", detail: "upstream answered 500" }],
    [503, { kind: "retry", trouble: "upstream", detail: "upstream answered 503" }],
  ] as const)("%d", async (code, outcome) => {
    await using upstream = await startUpstream();
    upstream.misbehave(status(code));
    expect(await send(upstream)).toEqual(outcome);
  });

  test("reads Retry-After in seconds or as a date", async () => {
    await using upstream = await startUpstream();
    upstream.misbehave(status(503, "", { "retry-after": "7" }));
    expect(await send(upstream)).toMatchObject({ afterMs: 7_000 });
    upstream.misbehave(status(429, "", { "retry-after": new Date(Date.now() + 9_500).toUTCString() }));
    const outcome = await send(upstream);
    expect(outcome.kind === "retry" && outcome.afterMs).toBeWithin(5_000, 11_001);
  });

  test("retries if the connection breaks or is refused", async () => {
    await using upstream = await startUpstream();
    upstream.misbehave({ kind: "reset" });
    expect(await send(upstream)).toMatchObject({
      kind: "retry",
      trouble: "upstream",
      detail: "connection closed",
    });
    await upstream.stop();
    expect(await send(upstream)).toMatchObject({ kind: "retry", detail: "connection refused" });
  });

  test("gives up after 30 s without a response, or at once when the relay stops", async () => {
    await using silent = await FixedReplyServer.start("");
    const url = `http://127.0.0.1:${silent.port}`;
    const clock = new FakeClock();
    const late = sinkTo({ url }, clock).send(group, chunksOf(["1"]), new AbortController().signal);
    await eventually(() => expect(silent.accepted).toBe(1));
    await clock.advance(5_000);
    // The sink checks that upstream accepts connections, with one that it closes at once.
    await eventually(() => expect([silent.accepted, silent.open]).toEqual([2, 1]));
    await clock.advance(24_999);
    let isOver = false;
    void late.then(() => {
      isOver = true;
    });
    await settle();
    expect(isOver).toBe(false);
    await clock.advance(1);
    expect(await late).toEqual({
      kind: "retry",
      trouble: "upstream",
      detail: "no response from upstream within 30 s",
    });
    const stop = new AbortController();
    const stopped = failureOf(sinkTo({ url }).send(group, chunksOf(["1"]), stop.signal));
    await eventually(() => expect(silent.accepted).toBe(3));
    stop.abort(new Error("stopping"));
    expect(await stopped).toEqual(new Error("stopping"));
  });

  test("accepts a response whose body hangs", async () => {
    await using upstream = await startUpstream();
    upstream.misbehave({ kind: "stall", afterBytes: 3 });
    const clock = new FakeClock();
    const sent = sinkTo(upstream, clock).send(group, chunksOf(["1"]), new AbortController().signal);
    await eventually(() => expect(upstream.requests).toHaveLength(1));
    // Until the headers have arrived, the body cannot be late. On a busy machine they may arrive after the first wait.
    for (const waitMs of [300, 2_000]) {
      await Promise.race([sent, sleep(waitMs)]);
      await clock.advance(10_000);
    }
    expect(await sent).toEqual({ kind: "accepted" });
  });
});
