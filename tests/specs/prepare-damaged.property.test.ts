import { describe, expect, test } from "bun:test";
import { createZstdCompress, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { prepare } from "../../src/specs/payload/prepare.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { specEnvelopes } from "../support/upstream/proto-payload.ts";
import { compress, jsonBytes, raw, rawProto, refusal, SDK_KEY } from "../support/upstream/raw-payloads.ts";

const MAX_BYTES = 64 * 1024 * 1024;

const spec = specV2({ lcut: 1_700_000_000_000, sdkKey: SDK_KEY });

/** Where a body is truncated; 0 leaves nothing of it. */
const cuts = (body: Uint8Array) => Array.from({ length: body.length }, (_, at) => body.subarray(0, at));

/** The outcome of each truncated body. The whole bodies must be accepted. */
async function outcomes(body: Uint8Array, of: (cut: Uint8Array) => Parameters<typeof refusal>[0]) {
  expect(await refusal(of(body))).toBe("prepared");
  return new Set(await Promise.all(cuts(body).map((cut) => refusal(of(cut)))));
}

/** Whether bytes are a JSON object, as `{}` is, which chance makes once in many thousand runs. */
function isObject(bytes: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === "object" && value !== null;
  } catch {
    return false;
  }
}

/** As servers compress while they send: the end is a separate block. */
async function streamedZstd(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = createZstdCompress();
  stream.write(bytes);
  stream.flush(() => stream.end());
  return Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>));
}

describe("a body that is truncated anywhere is refused", () => {
  test("JSON without a coding", async () => {
    expect(await outcomes(jsonBytes(spec), (cut) => raw(cut, ""))).toEqual(new Set(["malformed"]));
  });

  test.each(["gzip", "deflate", "br"] as const)("JSON as %s", async (coding) => {
    const body = compress[coding](jsonBytes(spec));
    expect(await outcomes(body, (cut) => raw(cut, coding))).toEqual(new Set(["undecodable"]));
  });

  test("JSON as zstd without a checksum, in one block", async () => {
    const reasons = await outcomes(zstdCompressSync(jsonBytes(spec)), (cut) => raw(cut, "zstd"));
    expect(reasons).not.toContain("prepared");
  });

  // Bun's zstdDecompress treats the end of the input as the end of the frame.
  test("JSON as zstd with a checksum", async () => {
    const reasons = await outcomes(compress.zstd(jsonBytes(spec)), (cut) => raw(cut, "zstd"));
    expect(reasons).not.toContain("prepared");
  });

  test("JSON as streamed zstd", async () => {
    const reasons = await outcomes(await streamedZstd(jsonBytes(spec)), (cut) => raw(cut, "zstd"));
    expect(reasons).not.toContain("prepared");
  });

  test("protobuf, truncated after and before it was compressed", async () => {
    const envelopes = specEnvelopes({ lcut: 1, sdkKey: SDK_KEY });
    const { body } = rawProto(envelopes);
    const compressed = await outcomes(body, (cut) => raw(cut, "statsig-br", { format: "proto" }));
    expect(compressed).toEqual(new Set(["undecodable"]));
    expect(await outcomes(envelopes, (cut) => rawProto(cut))).toEqual(new Set(["malformed"]));
  });

  test("any JSON", async () => {
    const object = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 });
    const coding = fc.constantFrom("identity", "gzip", "deflate", "br");
    const property = fc.asyncProperty(
      object,
      coding,
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (value, name, at) => {
        const body = compress[name](jsonBytes({ ...value, time: 1 }));
        const cut = body.subarray(0, Math.floor(at * (body.length - 1)));
        expect(["undecodable", "malformed"]).toContain(await refusal(raw(cut, name, { headerLcut: 1 })));
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });
});

describe("a body with trailing bytes is refused, because clients would get them too", () => {
  test.each(["identity", "gzip"] as const)("%s", async (coding) => {
    const body = Buffer.concat([compress[coding](jsonBytes(spec)), Buffer.from("junk")]);
    expect(await refusal(raw(body, coding))).not.toBe("prepared");
  });

  test.each(["br", "zstd"] as const)("%s", async (coding) => {
    const body = Buffer.concat([compress[coding](jsonBytes(spec)), Buffer.from("junk")]);
    expect(await refusal(raw(body, coding))).not.toBe("prepared");
  });

  test("protobuf", async () => {
    const { body } = rawProto(specEnvelopes({ lcut: 1, sdkKey: SDK_KEY }));
    const longer = Buffer.concat([body, Buffer.from("junk")]);
    expect(await refusal(raw(longer, "statsig-br", { format: "proto" }))).not.toBe("prepared");
  });
});

describe("random bytes are refused", () => {
  const bytes = fc.uint8Array({ maxLength: 300, size: "max" }).filter((each) => !isObject(each));

  test("as JSON in every coding", async () => {
    const coding = fc.constantFrom("", "identity", "gzip", "deflate", "br", "zstd", "statsig-br", "other");
    const property = fc.asyncProperty(bytes, coding, async (body, name) => {
      expect(["undecodable", "malformed"]).toContain(await refusal(raw(body, name, { headerLcut: 1 })));
    });
    await fc.assert(property, { numRuns: 500 });
  });

  test("as protobuf, compressed or not", async () => {
    const property = fc.asyncProperty(bytes, async (body) => {
      const asSent = raw(body, "statsig-br", { format: "proto", headerLcut: 1 });
      expect(["undecodable", "malformed"]).toContain(await refusal(asSent));
      expect(await refusal(rawProto(body, { headerLcut: 1 }))).toBe("malformed");
    });
    await fc.assert(property, { numRuns: 500 });
  });

  test("a change of one byte never yields another text from a gzip or checksummed zstd body", async () => {
    for (const coding of ["gzip", "zstd"] as const) {
      const whole = compress[coding](jsonBytes(spec));
      const at = fc.nat(whole.length - 1);
      const property = fc.asyncProperty(at, fc.integer({ min: 1, max: 255 }), async (index, change) => {
        const damaged = new Uint8Array(whole);
        damaged[index] = (damaged[index] ?? 0) ^ change;
        const preparation = await prepare({ raw: raw(damaged, coding), maxBytes: MAX_BYTES });
        if (preparation.kind !== "refused")
          expect(preparation).toHaveProperty("payload.bytes", jsonBytes(spec));
      });
      await fc.assert(property, { numRuns: 300 });
    }
  });
});

test("a small body that decodes to more than the limit is refused", async () => {
  const megabyte = zstdCompressSync(new Uint8Array(1024 * 1024));
  const bomb = Buffer.concat(Array.from({ length: 257 }, () => megabyte));
  expect(await refusal(raw(bomb, "zstd"))).toBe("too_large");
});
