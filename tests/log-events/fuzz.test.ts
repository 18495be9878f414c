import { expect, test } from "bun:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { startEventRelay } from "../support/log-events/event-relay.ts";

/** 100,000 for the whole run: `SFP_FUZZ_BODIES=100000`. */
const BODIES = Number(process.env["SFP_FUZZ_BODIES"] ?? 5_000);
const AT_ONCE = 16;
const SEED = Number(process.env["SFP_FUZZ_SEED"] ?? Date.now() % 1_000_000);
const MAX_GROWTH_BYTES = 400 * 1024 * 1024;

type Body = Uint8Array<ArrayBuffer>;
type Mutation = (body: Body) => Body;

/** A small generator, so that a run can be repeated with its seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const below = randomFrom(SEED);
const pick = <T>(choices: readonly [T, ...T[]]): T => choices[below(choices.length)] ?? choices[0];
const bytes = (buffer: Buffer | string): Body => new Uint8Array(Buffer.from(buffer));

const oddValues = [
  null,
  true,
  -1,
  1e308,
  "",
  "\u0000",
  [],
  {},
  [[[]]],
  { __proto__: 1 },
  "x".repeat(2_000),
  { toString: 1, valueOf: 2, length: 3 },
] as const satisfies readonly unknown[];
const odd = (): unknown => oddValues[below(oddValues.length)];

function event(): Record<string, unknown> {
  const fields: Record<string, unknown> = {
    eventName: pick(["statsig::gate_exposure", "statsig::config_exposure", "purchase"]),
    user: { userID: `u${below(50)}`, customIDs: { companyID: below(3) } },
    time: 1_760_000_000_000 + below(1_000_000),
    metadata: { gate: "g", config: "c", ruleID: "r", gateValue: "true" },
    statsigMetadata: null,
  };
  while (below(3) === 0)
    fields[pick(["eventName", "user", "time", "metadata", "statsigMetadata", "more"])] = odd();
  return fields;
}

const deep = (levels: number): string => `{"events":[${"[".repeat(levels)}${"]".repeat(levels)}]}`;

function jsonText(): string {
  const kind = below(40);
  if (kind === 0) return deep(1 + below(200_000));
  if (kind === 1) return "[".repeat(below(200_000));
  if (kind === 2) return JSON.stringify(odd()) ?? "";
  if (kind === 3) return JSON.stringify({ events: odd(), statsigMetadata: odd() });
  if (kind === 4) return `{"events":[${"{},".repeat(below(20_000))}1]}`;
  const events = Array.from({ length: below(20) }, () => (below(8) === 0 ? odd() : event()));
  return JSON.stringify({ events, statsigMetadata: below(4) === 0 ? odd() : { sdkType: `t${below(3)}` } });
}

type Coding = readonly [string, Mutation];

const bombs: readonly [readonly [string, Body], ...(readonly [string, Body])[]] = [
  ["zstd", bytes(zstdCompressSync(Buffer.alloc(200 * 1024 * 1024)))],
  ["gzip", bytes(gzipSync(Buffer.alloc(200 * 1024 * 1024)))],
  ["br", bytes(brotliCompressSync(Buffer.alloc(50 * 1024 * 1024), { params: { 1: 1 } }))],
];

const codings: readonly [Coding, ...Coding[]] = [
  ["", (body: Body) => body],
  ["gzip", (body: Body) => bytes(gzipSync(body))],
  ["zstd", (body: Body) => bytes(zstdCompressSync(body))],
  ["br", (body: Body) => bytes(brotliCompressSync(body, { params: { 1: 1 } }))],
  ["deflate", (body: Body) => bytes(deflateSync(body))],
  ["identity", (body: Body) => body],
  ["gzip, zstd", (body: Body) => body],
];

const mutations: readonly [Mutation, ...Mutation[]] = [
  (body) => body.slice(0, below(body.length + 1)),
  (body) => {
    for (let flips = 1 + below(8); flips > 0; flips--) body[below(body.length)] = below(256);
    return body;
  },
  (body) => bytes(Buffer.concat([body, body.slice(below(body.length))])),
  (body) => body.slice(below(body.length)),
  (body) =>
    bytes(
      Buffer.concat([body.slice(0, below(body.length)), Uint8Array.of(0xff, 0xc0, 0x80, 0xed, 0xa0), body]),
    ),
];

function request(): { readonly coding: string; readonly body: Body } {
  if (below(100) === 0) {
    const [coding, body] = pick(bombs);
    return { coding, body };
  }
  const [coding, encode] = pick(codings);
  const plain = bytes(jsonText());
  const mutated = below(3) === 0 ? pick(mutations)(plain) : plain;
  const encoded = encode(mutated);
  return {
    coding: below(20) === 0 ? pick(codings)[0] : coding,
    body: below(3) === 0 ? pick(mutations)(encoded) : encoded,
  };
}

test(`${BODIES} mutated bodies: no crash, bounded memory, and each response is 202, 400, 413 or 503`, async () => {
  await using setup = await startEventRelay();
  for (let at = 0; at < 200; at++) await setup.post("secret-warm", { events: [event()] });
  const before = setup.relay.rssBytes();
  let highest = before;
  const statuses = new Map<number, number>();
  let left = BODIES;
  const client = async (name: number) => {
    while (left-- > 0) {
      const { coding, body } = request();
      const headers = coding === "" ? {} : { "content-encoding": coding };
      const answer = await setup.post(`secret-${name % 3}`, body, headers);
      await answer.arrayBuffer();
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (left % 100 === 0) highest = Math.max(highest, setup.relay.rssBytes());
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, name) => client(name)));
  const counts = [...statuses].sort().map(([status, count]) => `${status}: ${count}`);
  const mb = (size: number) => `${Math.round(size / 1e6)} MB`;
  console.log(`seed ${SEED}; ${counts.join(", ")}; memory ${mb(before)}, at most ${mb(highest)}`);
  expect([...statuses.keys()].filter((status) => ![202, 400, 413, 503].includes(status))).toEqual([]);
  expect(highest - before).toBeLessThan(MAX_GROWTH_BYTES);
  expect(await setup.relay.stop()).toBe(0);
}, 1_800_000);
