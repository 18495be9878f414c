import { describe, expect, test } from "bun:test";
import { findDelta } from "../../src/specs/deltas/delta.ts";
import { prepare } from "../../src/specs/payload/prepare.ts";
import { applyEdits, type Edit, newProject } from "../support/deltas/edits.ts";
import { bodyOf, type Oddity, type ProjectVersion } from "../support/deltas/project-version.ts";
import { readEnvelopes, SdkSpecs } from "../support/deltas/sdk-specs.ts";
import {
  basesOf,
  checkDeltas,
  FEED,
  type Prepared,
  prepareVersion,
} from "../support/deltas/version-chain.ts";
import { djb2, MAX_PAYLOAD_BYTES } from "../support/upstream/payloads.ts";
import { jsonBytes, raw } from "../support/upstream/raw-payloads.ts";

const first = newProject();

const edited = (version: ProjectVersion, laterBy: number, ...edits: Edit[]): ProjectVersion => {
  const time = version.time + laterBy;
  return { ...applyEdits(version, edits), time, checksum: djb2(`after ${version.checksum}`) };
};

const change = (at: number, content: number): Edit => ({ kind: "change", at, content });

/** Prepares the versions one after the other, with the history of the one before. */
async function prepareAll(versions: readonly ProjectVersion[], depth = 16): Promise<Prepared> {
  let last: Prepared | undefined;
  for (const version of versions) {
    const priors = last === undefined ? [] : [last];
    last = await prepareVersion(version, { depth, priors });
  }
  if (last === undefined) throw new RangeError("there is no version");
  return last;
}

const idOf = ({ time, checksum }: ProjectVersion) => ({ lcut: time, checksum });

/** Returns the delta for a client that holds this version, some time after the relay received the newest one. */
const deltaFor = (
  { payload }: Prepared,
  { time, checksum }: Pick<ProjectVersion, "time" | "checksum">,
  afterMs = 0,
) => findDelta({ ...payload, receivedAt: 0 }, { lcut: time, checksum }, afterMs);

describe("the delta of one changed gate", () => {
  const second = edited(first, 1_000, change(0, 1));

  test("has the changed entity, the top-level fields and the checksums", async () => {
    const prepared = await prepareAll([first, second]);
    const delta = deltaFor(prepared, first);
    const envelopes = readEnvelopes(delta?.bytes ?? new Uint8Array());
    expect(envelopes.map(({ kind, name }) => [kind, name])).toEqual([
      [10, ""],
      [2, ""],
      [3, "gate_0"],
      [9, ""],
      [1, ""],
    ]);
    expect(checkDeltas(prepared, [first, second], 16)).toBeGreaterThan(0);
  });

  test("is less than a tenth of the whole payload", async () => {
    const large = newProject({ perKind: 60 });
    const prepared = await prepareAll([large, edited(large, 1_000, change(0, 1))]);
    expect(10 * (deltaFor(prepared, large)?.bytes.length ?? Number.NaN)).toBeLessThan(
      prepared.payload.bytes.length,
    );
  });
});

test("a deleted entity is named in its field, one that has come back is not", async () => {
  const moved = edited(first, 1_000, { kind: "move", at: 0, to: "config" }, { kind: "remove", at: 20 });
  const back = edited(moved, 1_000, { kind: "add", entity: { kind: "gate", name: "gate_0", content: 0 } });
  const versions = [first, moved, back];
  const prepared = await prepareAll(versions);
  expect(checkDeltas(prepared, versions, 16)).toBe(2);
  const deletions = readEnvelopes(deltaFor(prepared, first)?.bytes ?? new Uint8Array()).find(
    ({ kind }) => kind === 8,
  );
  expect(Buffer.from(deletions?.data ?? []).toString("latin1")).not.toContain("gate_0");
});

test("versions without a change between them share one delta", async () => {
  const same = edited(first, 1_000);
  const changed = edited(same, 1_000, change(0, 1));
  const { payload } = await prepareAll([first, same, changed]);
  expect(payload.deltas?.map(({ bases }) => bases.map(({ lcut }) => lcut))).toEqual([
    [same.time, first.time],
  ]);
});

test("there are deltas from the last versions only", async () => {
  const versions = [first];
  for (let number = 1; number < 8; number++)
    versions.push(edited(versions.at(-1) ?? first, 1_000, change(number, number)));
  const prepared = await prepareAll(versions, 4);
  const times = basesOf(prepared.payload).map(({ lcut }) => lcut);
  expect(times).toEqual([6, 5, 4].map((number) => versions[number]?.time ?? 0));
  expect(checkDeltas(prepared, versions, 4)).toBeGreaterThan(0);
});

test("a delta is offered for 10 minutes", async () => {
  const prepared = await prepareAll([first, edited(first, 1_000, change(0, 1))]);
  expect(deltaFor(prepared, first, 600_000)).toBeDefined();
  expect(deltaFor(prepared, first, 600_001)).toBeUndefined();
});

test("no deltas and no history with a depth of 0", async () => {
  const { payload } = await prepareAll([first, edited(first, 1_000, change(0, 1))], 0);
  expect([payload.deltas, payload.history]).toEqual([undefined, undefined]);
});

test("the history of another feed is not used", async () => {
  const { payload } = await prepareAll([first]);
  const next = edited(first, 1_000, change(0, 1));
  const preparation = await prepare({
    raw: raw(bodyOf(next), "statsig-br", { format: "proto" }),
    maxBytes: MAX_PAYLOAD_BYTES,
    known: { feed: `not ${FEED}`, depth: 16, histories: payload.history ? [payload.history] : [] },
  });
  expect(preparation).toMatchObject({ kind: "prepared", payload: { deltas: [] } });
});

test("JSON has no deltas", async () => {
  const known = { feed: FEED, depth: 16, histories: [] };
  const json = raw(jsonBytes({ has_updates: true, time: first.time, checksum: "1" }), "");
  const preparation = await prepare({ raw: json, maxBytes: MAX_PAYLOAD_BYTES, known });
  expect(preparation.kind === "prepared" && preparation.payload.deltas).toBeUndefined();
});

describe("a client's version", () => {
  test("is the time in the body, whatever x-since-time says", async () => {
    const { payload } = await prepareAll([first]);
    const next = edited(first, 1_000, change(0, 1));
    const preparation = await prepare({
      raw: raw(bodyOf(next), "statsig-br", { format: "proto", headerLcut: next.time + 5 }),
      maxBytes: MAX_PAYLOAD_BYTES,
      known: { feed: FEED, depth: 16, histories: payload.history ? [payload.history] : [] },
    });
    if (preparation.kind !== "prepared") throw new Error(preparation.kind);
    const held = { version: next, payload: preparation.payload, seen: new Set([first, next]) };
    const last = await prepareVersion(edited(next, 1_000, change(1, 1)), { depth: 16, priors: [held] });
    expect(basesOf(last.payload).map(({ lcut }) => lcut)).toEqual([next.time, first.time]);
  });

  const other = edited(first, 0, change(0, 1));

  test("is identified by the checksum if the time stands for two contents", async () => {
    const last = edited(other, 1_000, change(1, 1));
    const prepared = await prepareAll([first, other, last]);
    const lengths = [first, other].map((version) => deltaFor(prepared, version)?.bytes.length ?? 0);
    expect(lengths[0]).toBeGreaterThan(lengths[1] ?? Number.NaN);
    expect(deltaFor(prepared, { ...first, checksum: "" })).toBeUndefined();
    expect(checkDeltas(prepared, [first, other, last], 16)).toBe(2);
  });

  test("may have the time of the newest version", async () => {
    const prepared = await prepareAll([first, other]);
    expect(deltaFor(prepared, first)).toBeDefined();
    expect(deltaFor(prepared, { ...first, checksum: "" })).toBeUndefined();
  });

  test("is identified by the time alone if it stands for one content", async () => {
    const last = edited(first, 1_000, change(1, 1));
    const prepared = await prepareAll([first, last]);
    expect(deltaFor(prepared, { ...first, checksum: "" })).toBeDefined();
    expect(deltaFor(prepared, { ...first, checksum: "another" })).toBeUndefined();
  });

  test("stays ambiguous after the other content of its time is forgotten", async () => {
    const next = edited(other, 1_000, change(1, 1));
    const last = edited(next, 1_000, change(2, 1));
    const afterForgotten = await prepareAll([first, other, next], 2);
    const again = await prepareVersion(other, { depth: 2, priors: [afterForgotten] });
    const newest = await prepareVersion(last, { depth: 2, priors: [again] });
    for (const { payload } of [afterForgotten, newest]) {
      expect(basesOf(payload)).toEqual([{ ...idOf(other), isOnlyOfLcut: false }]);
    }
  });
});

describe("a payload that SDKs could not reach by a delta", () => {
  const after = (oddity: Oddity) => prepareAll([first, { ...edited(first, 1_000, change(0, 1)), oddity }]);

  test.each<[string, Oddity]>([
    ["has an unknown kind of envelope", "unknown_kind"],
    ["has an entity without data", "no_data"],
    ["has CHECKSUMS itself", "checksums"],
    ["has DELETIONS itself", "deletions"],
    ["has two TOP_LEVEL", "second_top_level"],
    ["has a field that is not known", "unknown_field"],
  ])("%s: it is taken, without deltas", async (_, oddity) => {
    expect((await after(oddity)).payload.deltas ?? []).toEqual([]);
  });

  test.each<[string, Oddity]>([
    ["a name twice", "duplicate_name"],
    ["an entity before TOP_LEVEL", "entity_first"],
  ])("%s: it has deltas all the same", async (_, oddity) => {
    const prepared = await after(oddity);
    expect(deltaFor(prepared, first)).toBeDefined();
    expect(checkDeltas(prepared, [first], 16)).toBeGreaterThan(0);
  });
});

test.each(["base64", "u32", "odd", "stale", "none"] as const)(
  "projects that are emptied and filled again, with checksums of the style %s",
  async (checksumStyle) => {
    const full = { ...first, checksumStyle };
    const empty = edited(full, 1_000, { kind: "clear" });
    const filled = { ...edited(empty, 1_000), entities: first.entities };
    const versions = [full, empty, filled];
    for (const count of [2, 3]) {
      const prepared = await prepareAll(versions.slice(0, count));
      checkDeltas(prepared, versions, 16);
    }
    expect(SdkSpecs.fromPayload(bodyOf(empty)).entities()).toEqual({});
  },
);

test("all deltas together decompress to at most the bytes of the version", async () => {
  const text = "the same text ".repeat(4_000);
  const versions: ProjectVersion[] = [{ ...first, rest: { ...first.rest, future_field: text } }];
  for (let number = 1; number < 5; number++)
    versions.push(edited(versions.at(-1) ?? first, 1_000, change(number, number)));
  const { payload } = await prepareAll(versions);
  expect(payload.deltas).toHaveLength(1);
});
