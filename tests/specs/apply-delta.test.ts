import { describe, expect, test } from "bun:test";
import { brotliCompressSync, brotliDecompressSync, constants, gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { SpecsEnvelopeKind as Kind, RulesetsChecksumsSchema } from "../../src/gen/statsig_config_specs_pb.ts";
import { applyEdits, type Edit, newProject } from "../support/deltas/edits.ts";
import {
  bodyOf,
  encodeEnvelope,
  encodeVersion,
  type ProjectVersion,
} from "../support/deltas/project-version.ts";
import {
  applied,
  deltaBetween,
  joinBody,
  prepareDelta,
  type SentDelta,
  splitBody,
} from "../support/deltas/relay-chain.ts";
import { SdkSpecs } from "../support/deltas/sdk-specs.ts";
import { prepareVersion } from "../support/deltas/version-chain.ts";
import { MAX_PAYLOAD_BYTES } from "../support/upstream/payloads.ts";
import { raw, refusal } from "../support/upstream/raw-payloads.ts";

const first: ProjectVersion = { ...newProject({ perKind: 4 }), checksumStyle: "u32" };

const edited = (version: ProjectVersion, ...edits: Edit[]): ProjectVersion => ({
  ...applyEdits(version, edits),
  time: version.time + 1_000,
  checksum: `after ${version.checksum}`,
});

const second = edited(first, { kind: "change", at: 0, content: 3 }, { kind: "remove", at: 5 });

/** Two versions, and the delta between them. */
async function pairOf(before: ProjectVersion, after: ProjectVersion) {
  const from = await prepareVersion(before, { depth: 8, priors: [] });
  const to = await prepareVersion(after, { depth: 8, priors: [from] });
  const delta = deltaBetween(from.payload, to.payload);
  if (delta === undefined) throw new Error("there is no delta");
  return { from: from.payload, to: to.payload, delta };
}

const { from, to, delta } = await pairOf(first, second);

const [prev, top, changed, deletions, checksums, done, ...more] = splitBody(delta.bytes);
if (done === undefined || more.length > 0) throw new Error("the delta has other parts than expected");

const withSums = (change: (sums: Record<string, bigint>) => void): Uint8Array => {
  const sums = Object.fromEntries(
    ["condition_map", "dynamic_configs", "feature_gates", "layer_configs", "param_stores"].map((field) => [
      field,
      0n,
    ]),
  );
  change(sums);
  const data = toBinary(RulesetsChecksumsSchema, create(RulesetsChecksumsSchema, { fieldChecksums: sums }));
  return encodeEnvelope({ kind: Kind.CHECKSUMS, data });
};

/** Returns the reason and detail of a refusal, or the kind of another outcome. */
async function outcomeOf(bytes: Uint8Array, contentDigest: string | undefined): Promise<string> {
  const preparation = await prepareDelta(from, { bytes, contentDigest });
  return preparation.kind === "refused" ? `${preparation.reason}: ${preparation.detail}` : preparation.kind;
}

describe("a delta from upstream", () => {
  test("makes the whole version, with a body for all clients and deltas to it", async () => {
    const payload = await applied(from, delta);
    const [whole, result] = [to.bytes, payload.bytes].map((body) => SdkSpecs.fromPayload(body));
    expect(result?.entities()).toEqual(whole?.entities() ?? {});
    expect(result?.topLevel).toEqual(whole?.topLevel ?? new Uint8Array());
    expect(payload).toMatchObject({ lcut: second.time, checksum: second.checksum, format: "proto" });
    expect(payload.grpcFrame.length).toBeGreaterThan(payload.bytes.length);
    expect(deltaBetween(from, payload)).toEqual(delta);
  });

  test("makes the body that Statsig's servers would have sent", async () => {
    const params = { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_LGWIN]: 24 };
    const whole = brotliCompressSync(encodeVersion(second), { params });
    const payload = await applied(from, delta);
    expect(Buffer.from(payload.bytes).equals(whole)).toBeTrue();
  });

  test.each(["gzip", ""])("may come with the coding %p", async (contentEncoding) => {
    const plain = brotliDecompressSync(delta.bytes);
    const bytes = contentEncoding === "" ? plain : gzipSync(plain);
    const preparation = await prepareDelta(from, { ...delta, bytes }, { contentEncoding });
    expect(preparation).toMatchObject({ kind: "prepared", payload: { lcut: second.time } });
  });

  test("is verified by its checksums if upstream sends no digest, and all of them are numbers", async () => {
    expect(await prepareDelta(from, { ...delta, contentDigest: undefined })).toMatchObject({
      kind: "prepared",
    });
  });

  test("without a digest, and with checksums that are not numbers, is refused", async () => {
    const before = { ...first, checksumStyle: "base64" } as const;
    const pair = await pairOf(before, edited(before, { kind: "change", at: 0, content: 3 }));
    expect(await prepareDelta(pair.from, { ...pair.delta, contentDigest: undefined })).toEqual({
      kind: "refused",
      reason: "delta",
      detail: "the result cannot be verified: not every entity has a checksum that is a number",
    });
    expect((await applied(pair.from, pair.delta)).contentDigest).toBe(pair.to.contentDigest);
  });

  test("without a digest, and without entities in the result, is refused: nothing would be verified", async () => {
    const before = { ...first, checksumStyle: "base64" } as const;
    const pair = await pairOf(before, { ...before, time: before.time + 1_000, checksum: "later" });
    const empty = await prepareVersion({ ...before, entities: [] }, { depth: 8, priors: [] });
    expect(await prepareDelta(empty.payload, { ...pair.delta, contentDigest: undefined })).toEqual({
      kind: "refused",
      reason: "delta",
      detail: "the result cannot be verified: it has no entities",
    });
  });

  test("is refused if the version to which it applies has a part of an unknown kind", async () => {
    const odd = await prepareVersion({ ...first, oddity: "unknown_kind" }, { depth: 8, priors: [] });
    expect(await prepareDelta(odd.payload, delta)).toMatchObject({ kind: "refused", reason: "delta" });
  });

  test("is refused like a whole payload: of another SDK key, or from the future", async () => {
    const rest = { experiment_to_layer: {}, hashed_sdk_key_used: "1" };
    const other = await pairOf(first, second);
    const foreign = bodyOf({ ...second, rest });
    const [foreignTop] = splitBody(foreign);
    const swapped = joinBody(prev, foreignTop, changed, deletions, checksums, done);
    const preparation = await prepareDelta(other.from, { bytes: swapped, contentDigest: undefined });
    expect(preparation).toMatchObject({ kind: "refused", reason: "other_key" });
    const [futureTop] = splitBody(bodyOf({ ...second, time: Date.now() + 2 * 86_400_000 }));
    const late = joinBody(prev, futureTop, changed, deletions, checksums, done);
    const future = await prepareDelta(other.from, { bytes: late, contentDigest: undefined });
    expect(future).toMatchObject({ kind: "refused", reason: "in_future" });
  });
});

describe("a damaged delta is refused", () => {
  const anyEntity = encodeEnvelope({
    kind: Kind.FEATURE_GATE,
    name: "new",
    checksum: "1",
    data: new Uint8Array(),
  });
  const dataless = encodeEnvelope({ kind: Kind.FEATURE_GATE, name: "gate_1", checksum: "1" });
  const emptyTop = encodeEnvelope({ kind: Kind.TOP_LEVEL });
  const unknownDeletion = encodeEnvelope({ kind: Kind.DELETIONS, data: Buffer.from([0x52, 1, 0x61]) });
  const badDeletion = encodeEnvelope({ kind: Kind.DELETIONS, data: Buffer.from([0x52, 9]) });
  const wrong = withSums(() => {});
  const fewer = withSums((sums) => delete sums["param_stores"]);
  const extra = withSums((sums) => Object.assign(sums, { sdk_configs: 0n }));

  test.each([
    [
      "without COPY_PREV",
      joinBody(top, changed, deletions, checksums, done),
      "COPY_PREV is not at its beginning",
    ],
    ["with COPY_PREV twice", joinBody(prev, prev, top, changed, deletions, checksums, done), "COPY_PREV"],
    ["with a later COPY_PREV", joinBody(top, prev, changed, deletions, checksums, done), "COPY_PREV"],
    ["without TOP_LEVEL", joinBody(prev, changed, deletions, checksums, done), "it has no TOP_LEVEL"],
    [
      "with an empty TOP_LEVEL",
      joinBody(prev, emptyTop, changed, deletions, checksums, done),
      "TOP_LEVEL has no data",
    ],
    ["with TOP_LEVEL twice", joinBody(prev, top, top, changed, deletions, checksums, done), "kind 2"],
    ["without CHECKSUMS", joinBody(prev, top, changed, deletions, done), "it has no CHECKSUMS"],
    ["with CHECKSUMS twice", joinBody(prev, top, changed, deletions, checksums, checksums, done), "kind 9"],
    ["without DONE", joinBody(prev, top, changed, deletions, checksums), "it does not end with DONE"],
    ["with more after DONE", joinBody(prev, top, changed, deletions, checksums, done, changed), "after DONE"],
    ["with DONE twice", joinBody(prev, top, changed, deletions, checksums, done, done), "after DONE"],
    ["with wrong sums", joinBody(prev, top, changed, deletions, wrong, done), "the checksum of"],
    ["without a sum", joinBody(prev, top, changed, deletions, fewer, done), "CHECKSUMS do not have"],
    ["with another sum", joinBody(prev, top, changed, deletions, extra, done), "CHECKSUMS do not have"],
    ["without a change", joinBody(prev, top, deletions, checksums, done), "the checksum of feature_gates"],
    ["without a deletion", joinBody(prev, top, changed, checksums, done), "the checksum of"],
    [
      "with an entity more",
      joinBody(prev, top, changed, anyEntity, deletions, checksums, done),
      "the checksum",
    ],
    [
      "with an entity without data",
      joinBody(prev, top, dataless, deletions, checksums, done),
      "without a name",
    ],
    [
      "with a deletion of something unknown",
      joinBody(prev, top, changed, deletions, unknownDeletion, checksums, done),
      "DELETIONS have an unknown field",
    ],
    [
      "with deletions that cannot be read",
      joinBody(prev, top, changed, badDeletion, checksums, done),
      "DELETIONS cannot be read",
    ],
    [
      "with an envelope of an unknown kind",
      joinBody(prev, top, encodeEnvelope({ kind: 11 as Kind }), changed, deletions, checksums, done),
      "kind 11",
    ],
    ["that is a whole version", to.bytes, "COPY_PREV is not at its beginning"],
    ["that is empty", joinBody(), "it does not end with DONE"],
  ])("%s", async (_, bytes, detail) => {
    for (const contentDigest of [delta.contentDigest, undefined]) {
      const outcome = await outcomeOf(bytes, contentDigest);
      expect(outcome).toStartWith("delta: ");
      expect(outcome).toContain(detail);
    }
  });

  test("that is JSON", async () => {
    const json = raw(Buffer.from("{}"), "", { delta: { base: from.bytes, contentDigest: undefined } });
    expect(await refusal(json)).toBe("delta");
  });

  test("that leads to another content than the digest says", async () => {
    const { contentDigest } = from;
    expect(await outcomeOf(delta.bytes, contentDigest)).toBe("delta: the result has another digest");
  });

  test("that is truncated anywhere, before or after it was compressed", async () => {
    const plain = brotliDecompressSync(delta.bytes);
    const outcomes = new Set<string>();
    for (let end = 0; end < delta.bytes.length; end++)
      outcomes.add((await outcomeOf(delta.bytes.slice(0, end), delta.contentDigest)).split(":")[0] ?? "");
    expect(outcomes).toEqual(new Set(["undecodable"]));
    for (let end = 0; end < plain.length; end++)
      expect(await outcomeOf(brotliCompressSync(plain.subarray(0, end)), undefined)).toStartWith("delta: ");
  });

  test("with any bit flipped, if upstream sends a digest", async () => {
    const flip = (bytes: Uint8Array, bit: number) => {
      const copy = new Uint8Array(bytes);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      return copy;
    };
    const expected = SdkSpecs.fromPayload(to.bytes);
    const plain = new Uint8Array(brotliDecompressSync(delta.bytes));
    let refused = 0;
    for (let bit = 0; bit < 8 * plain.length; bit++) {
      const preparation = await prepareDelta(
        from,
        { ...delta, bytes: flip(plain, bit) },
        { contentEncoding: "" },
      );
      if (preparation.kind !== "prepared") refused++;
      else {
        // A bit of what no SDK reads, such as the name of CHECKSUMS.
        const result = SdkSpecs.fromPayload(preparation.payload.bytes);
        expect([result.topLevel, result.entities()]).toEqual([expected.topLevel, expected.entities()]);
      }
    }
    expect(refused).toBeGreaterThan(0.9 * 8 * plain.length);
  }, 60_000);
});

describe("a bomb", () => {
  const bomb: SentDelta = { ...delta, bytes: brotliCompressSync(Buffer.alloc(100 * 1024 * 1024)) };

  test("of 100 MB is refused before it is decoded completely", async () => {
    expect(bomb.bytes.length).toBeLessThan(1_000);
    expect(await prepareDelta(from, bomb)).toMatchObject({ kind: "refused", reason: "too_large" });
  });

  test("is a delta that is below the limit, if the result is above", async () => {
    const limit = Math.max(...[from, to].map(({ bytes }) => brotliDecompressSync(bytes).length));
    expect((await prepareDelta(from, delta, { maxBytes: limit })).kind).toBe("prepared");
    const large = edited(
      first,
      ...Array.from({ length: 12 }, (_, number): Edit => {
        return { kind: "add", entity: { kind: "gate", name: `added_${number}`, content: 1 } };
      }),
    );
    const pair = await pairOf(first, large);
    const outcome = await prepareDelta(pair.from, pair.delta, { maxBytes: limit });
    expect(outcome).toMatchObject({ kind: "refused", reason: "too_large" });
  });
});

describe("a payload that is only a part of a version", () => {
  const asWhole = (bytes: Uint8Array, mustBeWhole: boolean) =>
    refusal(raw(bytes, "statsig-br", { format: "proto", mustBeWhole }), MAX_PAYLOAD_BYTES);

  test("is never taken for a whole one, whatever the response says", async () => {
    for (const mustBeWhole of [true, false]) expect(await asWhole(delta.bytes, mustBeWhole)).toBe("delta");
  });

  test("is refused if it lacks data that upstream may have left out", async () => {
    const body = bodyOf({ ...second, oddity: "no_data" });
    expect(await asWhole(body, true)).toBe("delta");
    expect(await asWhole(body, false)).toBe("prepared");
  });
});
