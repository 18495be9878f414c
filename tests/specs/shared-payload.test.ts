import { expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { ConfigSpecResponseSchema } from "../../src/gen/statsig_forward_proxy_pb.ts";
import { frameSpec } from "../../src/specs/payload/grpc-frame.ts";
import type { RawPayload } from "../../src/specs/payload/payload.ts";
import { WorkerPreparer } from "../../src/specs/payload/preparer.ts";
import type { PreparedPayload } from "../../src/specs/snapshot.ts";
import { padTo } from "../support/common/padding.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { MAX_PAYLOAD_BYTES, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { compress, jsonBytes, raw, SDK_KEY } from "../support/upstream/raw-payloads.ts";

const LCUT = 1_700_000_000_000;
const json = (bytes: number) => jsonBytes(padTo(specV2({ lcut: LCUT, sdkKey: SDK_KEY }), bytes));
const proto = () => raw(specProto({ lcut: LCUT, sdkKey: SDK_KEY }), "statsig-br", { format: "proto" });

async function prepareInWorker(payload: RawPayload): Promise<PreparedPayload> {
  await using preparer = new WorkerPreparer(strictSupervisor(), MAX_PAYLOAD_BYTES);
  const preparation = await preparer.prepare(payload);
  if (preparation.kind !== "prepared") throw new Error(JSON.stringify(preparation));
  return preparation.payload;
}

test("a gRPC frame is what a protobuf encoder makes, and the text is a view of it", () => {
  const lcut = fc.oneof(fc.constantFrom(0, 1, 127, 128, LCUT, Number.MAX_SAFE_INTEGER), fc.maxSafeNat());
  const text = fc.string({ unit: "grapheme", maxLength: 300 });
  fc.assert(
    fc.property(text, fc.constantFrom(1, 100), lcut, (part, times, lastUpdated) => {
      const spec = part.repeat(times);
      const { bytes, grpcFrame } = frameSpec(new TextEncoder().encode(spec), lastUpdated);
      const message = create(ConfigSpecResponseSchema, { spec, lastUpdated: BigInt(lastUpdated) });
      const encoded = toBinary(ConfigSpecResponseSchema, message);
      // An encoder leaves out empty text.
      if (spec !== "") expect<Uint8Array>(grpcFrame.subarray(5)).toEqual(encoded);
      expect(fromBinary(ConfigSpecResponseSchema, grpcFrame.subarray(5))).toEqual(message);
      expect([grpcFrame[0], new DataView(grpcFrame.buffer).getUint32(1)]).toEqual([0, grpcFrame.length - 5]);
      expect(new TextDecoder().decode(bytes)).toBe(spec);
      expect(bytes.buffer).toBe(grpcFrame.buffer);
    }),
    { numRuns: 300 },
  );
});

test.each([
  ["small JSON", () => raw(json(2_000), "")],
  ["gzip", () => raw(compress.gzip(json(2_000)), "gzip")],
  ["large JSON", () => raw(json(3_000_000), "")],
  ["large gzip", () => raw(compress.gzip(json(3_000_000)), "gzip")],
  ["protobuf", proto],
] as const)("%s comes from the Worker in shared memory of exactly its size", async (_, makeRaw) => {
  const sent = makeRaw();
  const { bytes, grpcFrame, compressed, format } = await prepareInWorker(sent);
  expect(sent.body.length).toBe(0);
  const codings = Object.values(compressed);
  expect(codings.length).toBe(format === "json" ? 3 : 0);
  for (const each of [grpcFrame, ...codings]) {
    expect(each.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(each.buffer.byteLength).toBe(each.length);
  }
  expect(bytes.buffer).toBe(grpcFrame.buffer);
  expect<Uint8Array>(frameSpec(bytes, LCUT).grpcFrame).toEqual(grpcFrame);
});

test("a payload that is posted to a thread is shared with it, each body once", async () => {
  const payload = await prepareInWorker(raw(json(2_000), ""));
  const { port1, port2 } = new MessageChannel();
  const received = new Promise<PreparedPayload>((resolve) => {
    port2.onmessage = ({ data }) => resolve(data);
  });
  port1.postMessage(payload);
  const posted = await received;
  port2.close();
  expect(posted).toEqual(payload);
  expect(posted.bytes.buffer).toBe(posted.grpcFrame.buffer);
  const pairs = [
    [posted.bytes, payload.bytes],
    [posted.compressed.gzip, payload.compressed.gzip],
  ] as const;
  for (const [theirs, ours] of pairs) {
    if (theirs === undefined || ours === undefined) throw new Error("a coding is missing");
    theirs[0] = 0xee;
    expect(ours[0]).toBe(0xee);
  }
});
