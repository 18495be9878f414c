import { describe, expect, test } from "bun:test";
import { brotliDecompressSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import {
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
  SpecsTopLevelSchema,
} from "../../src/gen/statsig_config_specs_pb.ts";
import { PayloadRefused } from "../../src/specs/payload/payload.ts";
import { restamp } from "../../src/specs/payload/restamp.ts";
import { preparedPayload, preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { djb2, specV2 } from "../support/upstream/payloads.ts";
import { specEnvelopes } from "../support/upstream/proto-payload.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const lcuts = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

describe("JSON that is published again", () => {
  test("has the new time, and every other byte as it was", () => {
    const space = fc.constantFrom("", " ", "\n\t ");
    const name = fc.oneof(fc.string(), fc.constantFrom("times", "Time", "has_updates", "time "));
    const member = fc.tuple(
      name.filter((each) => each !== "time"),
      fc.jsonValue(),
      space,
    );
    fc.assert(
      fc.property(
        fc.array(member, { maxLength: 5 }),
        fc.nat(5),
        lcuts,
        lcuts,
        space,
        (others, at, old, next, gap) => {
          const written = others.map(
            ([key, value, s]) => `${s}${JSON.stringify(key)}${s}:${s}${JSON.stringify(value)}${s}`,
          );
          const toText = (lcut: number) =>
            `${gap}{${written.toSpliced(at, 0, `${gap}"time"${gap}:${gap}${lcut}${gap}`).join(",")}}${gap}`;
          expect(textOf(restamp(bytesOf(toText(old)), "json", next))).toBe(toText(next));
        },
      ),
    );
  });

  test.each([
    ['{"a":{"time":1},"time":2}', '{"a":{"time":1},"time":77}'],
    ['{"\\u0074ime":1,"time":2}', '{"\\u0074ime":77,"time":77}'],
    ['{"time":"soon"}', '{"time":77}'],
    ['{"a":1}', '{"time":77,"a":1}'],
    [" { } ", ' {"time":77 } '],
  ])("%s becomes %s", (before, after) => {
    expect(textOf(restamp(bytesOf(before), "json", 77))).toBe(after);
  });

  test.each(["", "[]", '{"time":1', '{"time":1}}'])("what is no object is refused: %p", (text) => {
    expect(() => restamp(bytesOf(text), "json", 77)).toThrow(PayloadRefused);
  });

  test("is checked and encoded like what upstream sends", async () => {
    const [old, next] = [1_700_000_000_000, 1_700_000_000_001];
    const spec = (lcut: number) => JSON.stringify(specV2({ lcut, checksum: "same" }));
    const raw = { contentEncoding: "", format: "json", headerLcut: old, sdkKeyHash: djb2("key") } as const;
    const restamped = await preparedPayload({ ...raw, body: bytesOf(spec(old)), restampTo: next });
    const fresh = await preparedPayload({ ...raw, body: bytesOf(spec(next)), headerLcut: next });
    expect(restamped).toEqual(fresh);
  });
});

async function envelopesOf(bytes: Uint8Array) {
  const stream = sizeDelimitedDecodeStream(
    SpecsEnvelopeSchema,
    (async function* () {
      yield bytes;
    })(),
  );
  return await Array.fromAsync(stream);
}

describe("protobuf that is published again", () => {
  test("has the new time, and every other field of every envelope as it was", async () => {
    await fc.assert(
      fc.asyncProperty(lcuts, lcuts, fc.string(), async (old, next, color) => {
        const before = specEnvelopes({ lcut: old, color, checksum: "same" });
        const after = await envelopesOf(restamp(before, "proto", next));
        const [top, ...others] = await envelopesOf(specEnvelopes({ lcut: next, color, checksum: "same" }));
        // The upstream of tests makes it of the bytes, which have changed.
        const { checksum = "" } = (await envelopesOf(before))[0] ?? {};
        expect(after).toEqual([{ ...(top ?? expect.unreachable()), checksum }, ...others]);
      }),
      { numRuns: 50 },
    );
  });

  test("keeps fields that the relay does not know, in their order, also without a time", () => {
    const unknown = (no: number) => ({ no, wireType: 2, data: new Uint8Array([1, 65]) });
    const topLevel = create(SpecsTopLevelSchema, { hasUpdates: true, checksum: "c" });
    topLevel.$unknown = [unknown(99)];
    const envelope = create(SpecsEnvelopeSchema, {
      ...{ kind: SpecsEnvelopeKind.TOP_LEVEL, name: "n", checksum: "x" },
      data: toBinary(SpecsTopLevelSchema, topLevel),
    });
    envelope.$unknown = [unknown(50)];
    const body = sizeDelimitedEncode(SpecsEnvelopeSchema, envelope);
    const stamped = restamp(body, "proto", 77);
    // One byte of length before it.
    const read = fromBinary(SpecsEnvelopeSchema, stamped.subarray(1));
    const { data, ...others } = read;
    const { data: _, ...before } = envelope;
    expect(others).toEqual(before);
    expect(fromBinary(SpecsTopLevelSchema, data ?? new Uint8Array())).toEqual({ ...topLevel, time: 77n });
  });

  test("what is not a sequence of envelopes is refused", () => {
    expect(() => restamp(new Uint8Array([200, 1, 2]), "proto", 77)).toThrow(PayloadRefused);
  });

  test("is a whole version again", async () => {
    const feed = feedOf("secret-proto", "v2", "proto");
    const { bytes } = await preparedSnapshot(feed, 1_700_000_000_000);
    const restamped = await preparedPayload({
      ...{ body: new Uint8Array(bytes), contentEncoding: "statsig-br", format: "proto" },
      ...{ headerLcut: 1_700_000_000_000, sdkKeyHash: djb2(feed.sdkKey), restampTo: 1_700_000_000_009 },
    });
    expect(restamped.lcut).toBe(1_700_000_000_009);
    const [top] = await envelopesOf(brotliDecompressSync(restamped.bytes));
    expect(fromBinary(SpecsTopLevelSchema, top?.data ?? new Uint8Array()).time).toBe(1_700_000_000_009n);
  });
});
