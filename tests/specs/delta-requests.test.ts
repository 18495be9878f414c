import { describe, expect, test } from "bun:test";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import type { Feed } from "../../src/specs/feed.ts";
import { delta, deltaFlow, whole } from "../support/deltas/delta-flow.ts";
import { applyEdits, newProject } from "../support/deltas/edits.ts";
import { bodyOf, type ProjectVersion } from "../support/deltas/project-version.ts";
import { deltaBetween, joinBody, splitBody } from "../support/deltas/relay-chain.ts";
import { SdkSpecs } from "../support/deltas/sdk-specs.ts";
import { prepareVersion } from "../support/deltas/version-chain.ts";
import { failed } from "../support/specs/scripted-source.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { jsonBytes, raw } from "../support/upstream/raw-payloads.ts";

const feed: Feed = { sdkKey: "secret-deltas" as SdkKey, version: "v2", format: "proto" };

const first = newProject({ perKind: 4 });
const second: ProjectVersion = {
  ...applyEdits(first, [{ kind: "change", at: 0, content: 3 }]),
  time: first.time + 1_000,
  checksum: "second",
};
const prepared = await prepareVersion(first, { depth: 8, priors: [] });
const next = await prepareVersion(second, { depth: 8, priors: [prepared] });
const sent = deltaBetween(prepared.payload, next.payload);
if (sent === undefined) throw new Error("there is no delta");
const useless = { ...sent, contentDigest: "of another version" };

const [firstBody, secondBody] = [bodyOf(first), bodyOf(second)];
const HOUR_MS = 3_600_000;

const kindsOf = ({ events }: ReturnType<typeof deltaFlow>) => events.map(({ kind }) => kind);

describe("a request accepts a delta", () => {
  test("from the version that is held", async () => {
    const flow = deltaFlow();
    await flow.poll(feed, whole(firstBody));
    await flow.poll(feed, { kind: "no_update" });
    const [before, after] = flow.asked;
    expect(before).toMatchObject({ lcut: 0, checksum: "" });
    expect(before?.deltaBase).toBeUndefined();
    expect(after).toMatchObject({ lcut: first.time, checksum: first.checksum });
    expect(after?.deltaBase).toBe(flow.store.peek(feed)?.snapshot.bytes);
  });

  test("never without --deltas-background-loop-enabled", async () => {
    const flow = deltaFlow({ requestsDeltas: false });
    await flow.poll(feed, whole(firstBody));
    await flow.poll(feed, { kind: "no_update" });
    expect(flow.asked[1]?.deltaBase).toBeUndefined();
  });

  test("never for a version without a checksum, nor for JSON", async () => {
    const json = raw(jsonBytes(specV2({ lcut: 5 })), "");
    for (const response of [
      whole(bodyOf({ ...first, checksum: "" })),
      { kind: "payload", raw: json },
    ] as const) {
      const flow = deltaFlow();
      await flow.poll(feed, response);
      await flow.poll(feed, { kind: "no_update" });
      expect(flow.asked[1]?.lcut).toBeGreaterThan(0);
      expect(flow.asked[1]?.deltaBase).toBeUndefined();
    }
  });
});

test("a delta becomes a whole version, which the store and the backup get", async () => {
  const flow = deltaFlow();
  await flow.poll(feed, whole(firstBody));
  expect(await flow.poll(feed, delta(sent))).toEqual({ kind: "fresh" });
  const held = flow.store.peek(feed)?.snapshot;
  expect(held).toMatchObject({ lcut: second.time, checksum: second.checksum, source: "upstream" });
  expect(SdkSpecs.fromPayload(held?.bytes ?? firstBody).entities()).toEqual(
    SdkSpecs.fromPayload(secondBody).entities(),
  );
  expect(flow.written.at(-1)).toBe(held);
  expect(flow.events.at(-1)).toMatchObject({ kind: "spec_updated", deltaBytes: sent.bytes.length });
  // The next delta leads from it.
  await flow.poll(feed, { kind: "no_update" });
  expect(flow.asked.at(-1)?.deltaBase).toBe(held?.bytes);
});

describe("a delta that is refused", () => {
  test("is followed by the whole version, in the same refresh; until then the last version is served", async () => {
    const flow = deltaFlow();
    await flow.poll(feed, whole(firstBody));
    let during: number | undefined;
    const outcome = await flow.poll(feed, delta(useless), (held) => {
      during = flow.store.peek(feed)?.snapshot.lcut;
      return whole(secondBody)(held);
    });
    expect([outcome.kind, during]).toEqual(["fresh", first.time]);
    expect(flow.store.peek(feed)?.snapshot.lcut).toBe(second.time);
    expect(flow.asked.map(({ lcut, deltaBase }) => [lcut, deltaBase !== undefined])).toEqual([
      [0, false],
      [first.time, true],
      [first.time, false],
    ]);
    expect(kindsOf(flow)).toEqual(["spec_updated", "spec_delta_refused", "spec_updated"]);
    expect(flow.events[1]).toMatchObject({ detail: "the result has another digest" });
    expect(flow.events.at(-1)).toMatchObject({ deltaBytes: undefined });
  });

  test("is the last one for an hour", async () => {
    const flow = deltaFlow();
    await flow.poll(feed, whole(firstBody));
    await flow.poll(feed, delta(useless), { kind: "no_update" });
    await flow.clock.advance(HOUR_MS - 1);
    await flow.poll(feed, whole(secondBody));
    await flow.clock.advance(1);
    await flow.poll(feed, { kind: "no_update" });
    expect(flow.asked.map(({ deltaBase }) => deltaBase !== undefined)).toEqual([
      ...[false, true, false],
      ...[false, true],
    ]);
  });

  test("leaves the last version if upstream then fails", async () => {
    const flow = deltaFlow();
    await flow.poll(feed, whole(firstBody));
    expect((await flow.poll(feed, delta(useless), failed("unreachable"))).kind).toBe("failed");
    expect(flow.store.peek(feed)?.snapshot.lcut).toBe(first.time);
    expect(kindsOf(flow)).toEqual(["spec_updated", "spec_delta_refused", "spec_fetch_failed"]);
  });

  test("is also one at which the Worker fails", async () => {
    let isBroken = false;
    const flow = deltaFlow({
      prepare: async ({ delta: from }) => {
        if (isBroken && from !== undefined) throw new Error("the payload worker ended");
        return { kind: "prepared", payload: isBroken ? next.payload : prepared.payload };
      },
    });
    await flow.poll(feed, whole(firstBody));
    isBroken = true;
    await flow.poll(feed, delta(sent), whole(secondBody));
    expect(kindsOf(flow)).toEqual(["spec_updated", "spec_delta_refused", "spec_updated"]);
  });

  test("is also a whole version from which upstream has left something out", async () => {
    const flow = deltaFlow();
    await flow.poll(feed, whole(firstBody));
    await flow.poll(feed, whole(bodyOf({ ...second, oddity: "no_data" })), whole(secondBody));
    expect(kindsOf(flow)).toEqual(["spec_updated", "spec_delta_refused", "spec_updated"]);
    expect(flow.store.peek(feed)?.snapshot.lcut).toBe(second.time);
  });

  test("does not bring back a feed that was removed meanwhile", async () => {
    const flow = deltaFlow();
    await flow.poll(feed, whole(firstBody));
    const outcome = await flow.poll(feed, (held) => {
      flow.store.remove(feed, "unauthorized");
      return delta(useless)(held);
    });
    expect([outcome.kind, flow.store.peek(feed)]).toEqual(["failed", undefined]);
  });
});

test("a whole version that is refused is not requested twice", async () => {
  const flow = deltaFlow();
  await flow.poll(feed, whole(firstBody));
  const outcome = await flow.poll(feed, whole(secondBody.subarray(0, 100)));
  expect(outcome).toMatchObject({ kind: "failed", reason: { cause: "refused: undecodable" } });
});

test("a delta to an older version is refused as older, one to the held version confirms it", async () => {
  const flow = deltaFlow();
  const back = await prepareVersion(
    { ...first, time: first.time - 1_000, checksum: "back" },
    { depth: 8, priors: [prepared] },
  );
  const toOlder = deltaBetween(prepared.payload, back.payload);
  await flow.poll(feed, whole(firstBody));
  if (toOlder === undefined) throw new Error("there is no delta");
  expect((await flow.poll(feed, delta(toOlder))).kind).toBe("failed");
  expect(flow.events.at(-1)).toMatchObject({ kind: "spec_refused", reason: "older" });
  const [copyPrevious, , , checksums, done] = splitBody(sent.bytes);
  const bytes = joinBody(copyPrevious, splitBody(firstBody)[0], checksums, done);
  const toSame = { bytes, contentDigest: prepared.payload.contentDigest };
  expect(await flow.poll(feed, delta(toSame))).toEqual({ kind: "fresh" });
  expect(flow.events.at(-1)).toMatchObject({ kind: "spec_unchanged", lcut: first.time });
  expect(kindsOf(flow)).not.toContain("spec_delta_refused");
});
