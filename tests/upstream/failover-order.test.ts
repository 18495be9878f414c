import { describe, expect, test } from "bun:test";
import type { FetchOutcome } from "../../src/specs/source.ts";
import { failed, unauthorized, version } from "../support/specs/scripted-source.ts";
import {
  GARBAGE,
  INTERVAL_MS,
  STALE_AFTER_MS,
  scriptedEndpoints,
} from "../support/upstream/scripted-endpoints.ts";

/** Sends version `lcut`, and no update after that. */
const well = (lcut: number) => (sinceTime: number) =>
  sinceTime >= lcut ? ({ kind: "no_update", lcut } as const) : version(lcut);

/** Never answers. `isCancelled` shows whether the request was cancelled. */
function silent() {
  const seen = { isCancelled: false };
  const script = (_sinceTime: number, signal: AbortSignal) =>
    new Promise<FetchOutcome>((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        seen.isCancelled = true;
        reject(signal.reason);
      });
    });
  return { script, seen };
}

/** Two endpoints, both well, with version 1 held and the tries of the start done. */
async function twoEndpoints() {
  const flow = scriptedEndpoints(2);
  flow.scripts.push(well(1), well(1));
  await flow.firstRequest();
  await flow.clock.advance(INTERVAL_MS);
  flow.asked.length = 0;
  return flow;
}

describe("first requests", () => {
  test("ask the next endpoint after 300 ms of silence, and cancel the silent request when that one answers", async () => {
    const flow = scriptedEndpoints(3);
    const { script, seen } = silent();
    flow.scripts.push(script, well(1), well(1));
    // So that the endpoints that are not in use are not tried beside the request.
    flow.endpoints.takeTries();
    const outcome = flow.firstRequest();
    await flow.clock.advance(299);
    expect(flow.asked).toEqual([0]);
    await flow.clock.advance(1);
    expect(await outcome).toEqual({ kind: "fresh" });
    expect(flow.asked).toEqual([0, 1]);
    expect(seen.isCancelled).toBe(true);
  });

  test("wait longer for an endpoint that usually takes longer, for 2 s at most", async () => {
    const { endpoints } = scriptedEndpoints(2);
    const [member] = endpoints.members;
    if (member === undefined) throw new Error("no member");
    expect(endpoints.hedgeAfterMs(member)).toBe(300);
    member.health.responded(200);
    expect(endpoints.hedgeAfterMs(member)).toBe(600);
    for (let count = 0; count < 50; count++) member.health.responded(30_000);
    expect(endpoints.hedgeAfterMs(member)).toBe(2_000);
  });

  test("get the answer of a slow endpoint if the other ones have none", async () => {
    const flow = scriptedEndpoints(2);
    const answer = Promise.withResolvers<FetchOutcome>();
    flow.scripts.push(
      () => answer.promise,
      () => failed("unreachable"),
    );
    const outcome = flow.firstRequest();
    await flow.clock.advance(5_000);
    answer.resolve(version(7));
    expect(await outcome).toEqual({ kind: "fresh" });
    expect(flow.held()?.snapshot).toMatchObject({ lcut: 7, sourceHost: "endpoint-0.invalid" });
  });

  test("believe 401 of the preferred endpoint while the other one is silent", async () => {
    const flow = scriptedEndpoints(2);
    const { script } = silent();
    const answer = Promise.withResolvers<FetchOutcome>();
    flow.scripts.push(() => answer.promise, script);
    const outcome = flow.firstRequest();
    await flow.clock.advance(1_000);
    answer.resolve(unauthorized);
    expect(await outcome).toEqual({ kind: "unauthorized" });
  });
});

describe("polls", () => {
  test("wait for a silent endpoint: they are not hedged", async () => {
    const flow = await twoEndpoints();
    const { script } = silent();
    flow.scripts[0] = script;
    void flow.poll();
    await flow.clock.advance(5_000);
    expect(flow.asked).toEqual([0]);
  });

  test("ask the preferred endpoint first until it has failed twice in a row", async () => {
    const flow = await twoEndpoints();
    flow.scripts[0] = () => failed("unreachable");
    for (let count = 0; count < 3; count++) await flow.poll();
    expect(flow.asked).toEqual([0, 1, 0, 1, 1]);
    const failing = flow.events.filter(({ kind }) => kind === "endpoint_failing");
    expect(failing).toHaveLength(1);
    expect(failing[0]).toMatchObject({
      url: "http://endpoint-0.invalid",
      using: "http://endpoint-1.invalid",
    });
  });

  test.each([404, 400, 410])(
    "do not leave it for %d, which says something of the request alone",
    async (status) => {
      const flow = await twoEndpoints();
      flow.scripts[0] = () => ({ kind: "failed", cause: "status", status, detail: `answered ${status}` });
      for (let count = 0; count < 3; count++) await flow.poll();
      expect(flow.asked).toEqual([0, 1, 0, 1, 0, 1]);
    },
  );

  test("try it again after about one interval, then less often, and go back when it answers", async () => {
    const flow = await twoEndpoints();
    flow.scripts[0] = () => failed("status");
    for (let count = 0; count < 2; count++) await flow.poll();
    flow.asked.length = 0;
    // Many feeds: a poll each second for five minutes.
    for (let second = 0; second < 300; second++) {
      await flow.clock.advance(1_000);
      await flow.poll();
    }
    const tries = flow.asked.filter((at) => at === 0).length;
    expect(tries).toBeWithin(5, 15);
    flow.scripts[0] = well(1);
    for (let second = 0; second < 120; second++) {
      await flow.clock.advance(1_000);
      await flow.poll();
    }
    expect(flow.endpoints.inUse.isPreferred).toBe(true);
    expect(flow.events.filter(({ kind }) => kind === "endpoint_recovered")).toHaveLength(1);
    flow.asked.length = 0;
    await flow.poll();
    expect(flow.asked).toEqual([0]);
  });

  test("do not try it before the time of its Retry-After", async () => {
    const flow = await twoEndpoints();
    flow.scripts[0] = () => failed("status", 50_000);
    for (let count = 0; count < 2; count++) await flow.poll();
    flow.asked.length = 0;
    for (let second = 0; second < 49; second++) {
      await flow.clock.advance(1_000);
      await flow.poll();
    }
    expect(flow.asked).not.toContain(0);
  });

  test("ask the next one if a relay has had no confirmation for a minute, and take the latest", async () => {
    const flow = await twoEndpoints();
    const confirmedBefore = (ms: number) => (): FetchOutcome => {
      const [at, elapsed] = [flow.clock.now() - ms, flow.clock.elapsed() - ms];
      return { kind: "no_update", lcut: 1, relayed: { source: "upstream", confirmed: { at, elapsed } } };
    };
    flow.scripts[0] = confirmedBefore(STALE_AFTER_MS);
    flow.scripts[1] = confirmedBefore(1_000);
    await flow.poll();
    expect(flow.asked).toEqual([0]);

    flow.scripts[0] = confirmedBefore(STALE_AFTER_MS + 1);
    await flow.poll();
    expect(flow.asked).toEqual([0, 0, 1]);
    expect(flow.held()?.confirmedAgoMs(flow.clock)).toBe(1_000);
    expect(flow.endpoints.members[0]?.health.laggingSince).toBeNumber();

    // None is fresh: the feed becomes stale, but no poll fails.
    await flow.clock.advance(100_000);
    flow.scripts[0] = confirmedBefore(80_000);
    flow.scripts[1] = confirmedBefore(70_000);
    expect(await flow.poll()).toEqual({ kind: "fresh" });
    expect(flow.held()?.confirmedAgoMs(flow.clock)).toBe(70_000);
  });

  test("ask an endpoint last for a minute whose payload of the feed was refused", async () => {
    const flow = await twoEndpoints();
    flow.scripts[0] = () => GARBAGE;
    flow.scripts[1] = well(2);
    await flow.poll();
    expect([flow.asked, flow.held()?.snapshot.lcut]).toEqual([[0, 1], 2]);
    await flow.clock.advance(30_000);
    await flow.poll();
    expect(flow.asked).toEqual([0, 1, 1]);
    flow.scripts[1] = () => failed("unreachable");
    expect(await flow.poll()).toMatchObject({ kind: "failed", reason: { cause: "refused: malformed" } });
    expect(flow.asked).toEqual([0, 1, 1, 1, 0]);
    flow.scripts[0] = well(3);
    await flow.clock.advance(61_000);
    await flow.poll();
    expect(flow.held()?.snapshot.lcut).toBe(3);
  });

  test("find out each time whether an endpoint is still behind that sends older payloads", async () => {
    const flow = await twoEndpoints();
    flow.scripts[0] = () => version(0);
    flow.scripts[1] = well(2);
    for (let count = 0; count < 2; count++) {
      await flow.clock.advance(INTERVAL_MS);
      await flow.poll();
    }
    expect(flow.asked).toEqual([0, 1, 0, 1]);
    flow.scripts[0] = well(3);
    await flow.clock.advance(INTERVAL_MS);
    await flow.poll();
    expect(flow.held()?.snapshot.lcut).toBe(3);
  });
});

test("a single endpoint is not hedged, named or tried, and its 404 is what a poll comes to", async () => {
  const flow = scriptedEndpoints(1);
  flow.scripts.push(well(1));
  await flow.firstRequest();
  expect(flow.held()?.snapshot.sourceHost).toBeUndefined();
  flow.scripts[0] = () => ({ kind: "failed", cause: "status", status: 404, detail: "upstream answered 404" });
  for (let count = 0; count < 3; count++) {
    await flow.clock.advance(INTERVAL_MS);
    expect(await flow.poll()).toMatchObject({ reason: { detail: "upstream answered 404" } });
  }
  expect(flow.events.map(({ kind }) => kind)).toEqual(Array.from({ length: 4 }, () => "endpoint_asked"));
});
