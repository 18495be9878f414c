import { describe, expect, test } from "bun:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { specEnvelopes } from "../support/upstream/proto-payload.ts";
import { forKey, type PublishedKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import type { Fault } from "../support/upstream/upstream-faults.ts";
import { type Answer, answer } from "../support/upstream/upstream-request.ts";

interface Refused {
  readonly what: string;
  /** How upstream fails to send its version, which is newer than the held one. */
  readonly fault: (newer: PublishedKey) => Fault;
}

/** The headers of the correct response with another body. */
const around = (body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}): Fault => ({
  kind: "edit",
  edit: (right) => answer(200, body, { ...right.headers, "content-encoding": "identity", ...headers }),
});

const editBody = (edit: (right: Answer) => Uint8Array): Fault => ({
  kind: "edit",
  edit: (right) => ({ ...right, body: edit(right) }),
});

const half = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.byteLength >> 1);
const noise = Buffer.from(Array.from({ length: 500 }, (_, at) => (at * 7919) % 256));

const either: readonly Refused[] = [
  { what: "cut short against its Content-Length", fault: () => cut("length") },
  { what: "cut short in chunks", fault: () => cut("chunked") },
  {
    what: "whole by its length, but half a compressed body",
    fault: () => editBody(({ body }) => half(body)),
  },
  { what: "garbage in place of a compressed body", fault: () => editBody(() => noise) },
  { what: "empty", fault: () => around("") },
];

function cut(framing: "length" | "chunked"): Fault {
  return { kind: "cut", framing, afterBytes: 150 };
}

/** Wrong versions: two days ahead, in microseconds, or the result of a bug. */
const futures = [Date.now() + 48 * 3_600_000, Date.now() * 1_000, Number.MAX_SAFE_INTEGER];

const json: readonly Refused[] = [
  ...futures.flatMap((lcut) => [
    {
      what: `of the future by its time, ${lcut}`,
      fault: ({ sdkKey }: PublishedKey) => around(JSON.stringify(specV2({ lcut, sdkKey }))),
    },
    {
      what: `of the future by its x-since-time, ${lcut}`,
      fault: ({ v2 }: PublishedKey) => around(v2, { "x-since-time": String(lcut) }),
    },
  ]),
  ...either,
  { what: "not JSON", fault: () => around("<html>Bad Gateway</html>") },
  { what: "JSON that is no object", fault: ({ v2 }) => around(`[${v2}]`) },
  { what: "null", fault: () => around("null") },
  { what: "half of a JSON text", fault: ({ v2 }) => around(half(Buffer.from(v2))) },
  {
    what: "not UTF-8",
    fault: ({ v2 }) => around(Buffer.concat([Buffer.from(v2), Buffer.from([0x20, 0xff])])),
  },
  { what: "two JSON texts", fault: ({ v2 }) => around(v2 + v2) },
  {
    what: "in a coding that was not requested",
    fault: ({ v2 }) => around(v2, { "content-encoding": "snappy" }),
  },
  { what: "gzip that is none", fault: ({ v2 }) => around(v2, { "content-encoding": "gzip" }) },
  {
    what: "half a gzip of it",
    fault: ({ v2 }) => around(half(gzipSync(v2)), { "content-encoding": "gzip" }),
  },
  {
    what: "older than what is held",
    fault: ({ sdkKey }) => {
      const { v2, lcut } = versionOf(sdkKey, 0);
      return around(v2, { "x-since-time": String(lcut) });
    },
  },
  {
    what: "with another key's hashed_sdk_key_used",
    fault: ({ lcut }) => around(JSON.stringify(specV2({ lcut, sdkKey: "secret-other" }))),
  },
];

const asProto = (envelopes: Uint8Array): Fault => editBody(() => brotliCompressSync(envelopes));

const proto: readonly Refused[] = [
  ...futures.map((lcut) => ({
    what: `of the future by its time, ${lcut}`,
    fault: ({ sdkKey }: PublishedKey) => asProto(specEnvelopes({ lcut, sdkKey })),
  })),
  ...either,
  { what: "without DONE", fault: ({ lcut }) => asProto(specEnvelopes({ lcut }, { withDone: false })) },
  { what: "half of its envelopes", fault: ({ lcut }) => asProto(half(specEnvelopes({ lcut }))) },
  { what: "nothing but DONE", fault: () => asProto(Buffer.from([2, 8, 1])) },
  { what: "envelopes of garbage", fault: () => asProto(noise) },
  { what: "without statsig-br", fault: ({ proto: body }) => around(body) },
  { what: "as br", fault: ({ proto: body }) => around(body, { "content-encoding": "br" }) },
  { what: "statsig-br that is none", fault: ({ lcut }) => editBody(() => specEnvelopes({ lcut })) },
  {
    what: "with another key's hashed_sdk_key_used",
    fault: ({ lcut }) => asProto(specEnvelopes({ lcut, sdkKey: "secret-other" })),
  },
];

const PATIENT = { withinMs: 15_000 };
const shared = shareRelay();

const formats = {
  json: { headers: { "accept-encoding": "identity" }, rightOf: ({ v2 }: PublishedKey) => Buffer.from(v2) },
  proto: {
    headers: { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" },
    rightOf: (key: PublishedKey) => key.proto,
  },
} as const;

const cases = [
  ...json.map((each) => ({ ...each, format: "json" as const })),
  ...proto.map((each) => ({ ...each, format: "proto" as const })),
].map((each, number) => ({ ...each, number }));

describe.concurrent("Upstream requests: a refused payload never replaces the good one", () => {
  test.each(cases)(
    "$format: $what",
    async ({ format, fault, number }) => {
      const { headers, rightOf } = formats[format];
      const sdkKey = `secret-refused-${number}`;
      const { upstream, relay } = shared;
      const ask = () => rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`, headers);
      const good = publishKey(upstream, sdkKey, 1);
      expect((await ask()).body.equals(rightOf(good))).toBe(true);

      const newer = publishKey(upstream, sdkKey, 2);
      let sent = 0;
      const { when } = forKey(sdkKey);
      upstream.misbehave(fault(newer), { when: (request) => when(request) && ++sent > 0 });
      await eventually(() => expect(sent).toBeGreaterThanOrEqual(2), PATIENT);
      const kept = await ask();
      expect([kept.status, kept.headers["x-since-time"]]).toEqual([200, String(good.lcut)]);
      expect(kept.body.equals(rightOf(good))).toBe(true);

      upstream.misbehave({ kind: "none" }, forKey(sdkKey));
      await eventually(async () => expect((await ask()).body.equals(rightOf(newer))).toBe(true), PATIENT);
    },
    60_000,
  );

  test.each(cases.filter(({ what }) => !what.startsWith("older")))(
    "$format: $what: nor is it served where nothing is held",
    async ({ format, fault, number }) => {
      const { headers, rightOf } = formats[format];
      const sdkKey = `secret-refused-first-${number}`;
      const { upstream, relay } = shared;
      const ask = () => rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`, headers);
      const right = publishKey(upstream, sdkKey);
      upstream.misbehave(fault(right), { ...forKey(sdkKey), times: 1 });
      expect((await ask()).status).toBe(503);
      await eventually(async () => expect((await ask()).body.equals(rightOf(right))).toBe(true), PATIENT);
    },
  );
});

test("Deltas: a delta (x-deltas-used) is never shared between clients", async () => {
  const sdkKey = "secret-delta-from-upstream";
  const { upstream, relay } = shared;
  const ask = () => rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
  const good = publishKey(upstream, sdkKey, 1);
  expect((await ask()).body.toString()).toBe(good.v2);
  const { lcut } = publishKey(upstream, sdkKey, 2);
  const delta = JSON.stringify({ ...specV2({ lcut }), feature_gates: {}, deleted_gates: ["gate_public"] });
  let sent = 0;
  const { when } = forKey(sdkKey);
  upstream.misbehave(around(delta, { "x-deltas-used": "true" }), {
    when: (request) => when(request) && ++sent > 0,
  });
  await eventually(() => expect(sent).toBeGreaterThanOrEqual(2), PATIENT);
  expect((await ask()).body.toString()).toBe(good.v2);
});
