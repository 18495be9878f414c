import { describe, expect, test } from "bun:test";
import { brotliDecompressSync } from "node:zlib";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import {
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
  SpecsTopLevelSchema,
} from "../../src/gen/statsig_config_specs_pb.ts";
import { djb2 } from "../support/upstream/payloads.ts";
import { specEnvelopes } from "../support/upstream/proto-payload.ts";
import {
  compress,
  jsonBytes,
  prepared,
  raw,
  rawProto,
  refusal,
  SDK_KEY,
} from "../support/upstream/raw-payloads.ts";

const LCUT = 1_700_000_000_000;
const { DONE, TOP_LEVEL, FEATURE_GATE } = SpecsEnvelopeKind;
/** A kind of a later version of the protocol. */
const UNKNOWN_KIND = 100 as SpecsEnvelopeKind;

const envelope = (kind: SpecsEnvelopeKind, data?: Uint8Array): Uint8Array =>
  sizeDelimitedEncode(
    SpecsEnvelopeSchema,
    create(SpecsEnvelopeSchema, { kind, name: "name", ...(data && { data }) }),
  );

const topLevel = (more: MessageInitShape<typeof SpecsTopLevelSchema> = {}): Uint8Array => {
  const message = create(SpecsTopLevelSchema, { hasUpdates: true, time: BigInt(LCUT), ...more });
  return envelope(TOP_LEVEL, toBinary(SpecsTopLevelSchema, message));
};

const gate = envelope(FEATURE_GATE, new Uint8Array([1, 2, 3]));
const done = envelope(DONE);

const ofEnvelopes = (...parts: Uint8Array[]) => rawProto(Buffer.concat(parts));

describe("a protobuf payload", () => {
  test("is kept byte for byte as upstream sent it, in no other coding", async () => {
    const payload = rawProto(specEnvelopes({ lcut: LCUT, sdkKey: SDK_KEY }));
    const sent = payload.body.slice();
    const { bytes, compressed, format, lcut } = await prepared(payload);
    expect<unknown>([bytes, compressed, format, lcut]).toEqual([sent, {}, "proto", LCUT]);
    expect(new Uint8Array(brotliDecompressSync(bytes))).toEqual(
      new Uint8Array(specEnvelopes({ lcut: LCUT, sdkKey: SDK_KEY })),
    );
  });

  test("may have unknown kinds, and any order before DONE", async () => {
    const future = envelope(UNKNOWN_KIND, new Uint8Array(300));
    expect(await refusal(ofEnvelopes(gate, future, topLevel(), gate, done))).toBe("prepared");
  });

  test("has the version of x-since-time, or else of its time, or is refused", async () => {
    const envelopes = Buffer.concat([topLevel(), done]);
    expect((await prepared(rawProto(envelopes, { headerLcut: LCUT + 1 }))).lcut).toBe(LCUT + 1);
    expect((await prepared(rawProto(envelopes))).lcut).toBe(LCUT);
    for (const time of [0n, 2n ** 53n, 2n ** 64n - 1n]) {
      expect(await refusal(ofEnvelopes(topLevel({ time }), done))).toBe("no_lcut");
    }
  });

  test("without updates is a no-update", async () => {
    expect(await refusal(ofEnvelopes(topLevel({ hasUpdates: false }), done))).toBe("no_update");
    expect(await refusal(ofEnvelopes(envelope(TOP_LEVEL), done))).toBe("no_update");
  });
});

describe("hashed_sdk_key_used in TOP_LEVEL's rest", () => {
  const withHash = (hash: unknown) =>
    ofEnvelopes(topLevel({ rest: jsonBytes({ id_lists: {}, hashed_sdk_key_used: hash }) }), done);

  test("must belong to this key, but may be missing", async () => {
    expect(await refusal(withHash(djb2(SDK_KEY)))).toBe("prepared");
    expect(await refusal(withHash(Number(djb2(SDK_KEY))))).toBe("prepared");
    expect(await refusal(withHash(undefined))).toBe("prepared");
    expect(await refusal(withHash(djb2("secret-other")))).toBe("other_key");
  });

  test("is required to be in JSON: another rest is refused", async () => {
    for (const rest of ["{", "[]", "null", "\u0000"]) {
      const bytes = new TextEncoder().encode(rest);
      expect(await refusal(ofEnvelopes(topLevel({ rest: bytes }), done))).toBe("malformed");
    }
  });
});

describe("a protobuf payload is refused", () => {
  test("without DONE", async () => {
    expect(await refusal(rawProto(specEnvelopes({ lcut: LCUT }, { withDone: false })))).toBe("malformed");
  });

  test("if DONE is not the last envelope", async () => {
    expect(await refusal(ofEnvelopes(topLevel(), done, gate))).toBe("malformed");
    expect(await refusal(ofEnvelopes(done, topLevel()))).toBe("malformed");
  });

  test("without TOP_LEVEL", async () => {
    expect(await refusal(ofEnvelopes(gate, done))).toBe("malformed");
    expect(await refusal(ofEnvelopes(done))).toBe("malformed");
    expect(await refusal(ofEnvelopes())).toBe("malformed");
  });

  test("with bytes after DONE that are not an envelope", async () => {
    expect(await refusal(ofEnvelopes(topLevel(), done, new Uint8Array([200])))).toBe("malformed");
  });

  test.each(["", "identity", "gzip", "br", "zstd", "other"])(
    "if it is labeled %p: SDKs accept only statsig-br",
    async (coding) => {
      const envelopes = new Uint8Array(specEnvelopes({ lcut: LCUT }));
      for (const body of [envelopes, ...Object.values(compress).map((each) => each(envelopes))]) {
        expect(await refusal(raw(body, coding, { format: "proto" }))).toBe("undecodable");
      }
    },
  );

  test.each(["identity", "gzip", "deflate", "zstd"] as const)("if it is actually %s", async (coding) => {
    const body = compress[coding](new Uint8Array(specEnvelopes({ lcut: LCUT })));
    expect(await refusal(raw(body, "statsig-br", { format: "proto" }))).toBe("undecodable");
  });

  test("if it is actually JSON", async () => {
    const body = compress.br(jsonBytes({ time: LCUT, has_updates: true }));
    expect(await refusal(raw(body, "statsig-br", { format: "proto" }))).toBe("malformed");
  });
});
