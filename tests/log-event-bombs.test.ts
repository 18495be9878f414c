import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { type EventBody, type EventRelay, startEventRelay } from "./support/event-relay.ts";
import { freePort } from "./support/free-port.ts";
import { deleteFolders, newFolder } from "./support/local-backups.ts";
import { publishKey } from "./support/published-key.ts";
import { status } from "./support/upstream.ts";
import { eventually } from "./support/wait.ts";

const MIB = 1024 * 1024;
const MAX_BODY = 5 * MIB;
const MAX_EVENTS = 20_000;
/** 30 of them and what the relay is without: far below what a single one once cost. */
const MAX_RSS_BYTES = 250_000_000;

type Bomb = readonly [name: string, coding: string, body: EventBody, status: number];

const codings = {
  gzip: (text: string) => gzipSync(text, { level: 9 }),
  zstd: (text: string) => zstdCompressSync(text),
  br: (text: string) => brotliCompressSync(text, { params: { 1: 5 } }),
  deflate: (text: string) => deflateSync(text),
} as const;

const fill = (piece: string, bytes: number) => piece.repeat(Math.floor(bytes / piece.length));
/** As large as a body may be once it is decompressed. */
const eventsOf = (piece: string) => `{"events":[${fill(`${piece},`, MAX_BODY - 100)}${piece}]}`;
const bytes = (buffer: Buffer) => new Uint8Array(buffer);
const gzip = (text: string) => bytes(codings.gzip(text));
const nested = (levels: number) => `{"events":[${"[".repeat(levels)}${"]".repeat(levels)}]}`;
const exposure = (inside: string) =>
  `{"events":[{"eventName":"statsig::gate_exposure","time":1,"metadata":{"gate":"g"},"user":{"customIDs":${inside}}}]}`;

const tooMany: readonly Bomb[] = Object.entries(codings).map(([coding, encode]) => [
  "1.7 million empty events",
  coding,
  bytes(encode(eventsOf("{}"))),
  413,
]);

const oneMember = gzipSync('{"events":[{}]}');
const others: readonly Bomb[] = [
  ["a million times null", "gzip", gzip(eventsOf("null")), 413],
  ["2.6 million times 1", "gzip", gzip(eventsOf("1")), 413],
  ["millions of events, cut off", "gzip", gzip(eventsOf("{}").slice(0, -2)), 413],
  ["one event of 5 MB", "gzip", gzip(`{"events":["${"x".repeat(MAX_BODY - 100)}"]}`), 202],
  ["one event of 1.7 million objects", "gzip", gzip(`{"events":[[${fill("{},", MAX_BODY - 100)}{}]]}`), 202],
  ["1.7 million objects beside the events", "zstd", bytes(codings.zstd(`{"more":[${fill("{},", MAX_BODY - 100)}{}],"events":[]}`)), 202],
  ["800,000 members beside the events", "zstd", bytes(codings.zstd(`{${fill('"a":1,', MAX_BODY - 100)}"events":[]}`)), 202],
  ["an exposure with 1.7 million objects", "gzip", gzip(exposure(`[${fill("{},", MAX_BODY - 200)}{}]`)), 202],
  ["an exposure 30,000 levels deep", "gzip", gzip(exposure(`${"[".repeat(30_000)}${"]".repeat(30_000)}`)), 202],
  ["2.6 million levels", "gzip", gzip(nested(MAX_BODY / 2 - 100)), 202],
  ["2.6 million levels that are never closed", "gzip", gzip(`{"events":${"[".repeat(MAX_BODY - 100)}`), 400],
  ["a string of escapes", "gzip", gzip(`{"events":["${fill("\\u0041", MAX_BODY - 100)}"]}`), 202],
  ["5 MiB of zeros", "gzip", bytes(gzipSync(Buffer.alloc(MAX_BODY))), 400],
  ["200 MiB of zeros", "gzip", bytes(gzipSync(Buffer.alloc(200 * MIB))), 413],
  ["200 MiB of zeros", "zstd", bytes(zstdCompressSync(Buffer.alloc(200 * MIB))), 413],
  ["5 MB of metadata", "gzip", gzip(`{"events":[1],"statsigMetadata":"${"x".repeat(MAX_BODY - 100)}"}`), 413],
  ["64 KiB of metadata and a byte", "", `{"events":[1],"statsigMetadata":"${"x".repeat(64 * 1024 - 1)}"}`, 413],
  ["64 KiB of metadata", "", `{"events":[1],"statsigMetadata":"${"x".repeat(64 * 1024 - 2)}"}`, 202],
  ["members that are one body together", "gzip", bytes(Buffer.concat([gzipSync('{"events":'), gzipSync("[{}]}")])), 202],
  ["2,000 members", "gzip", bytes(Buffer.concat([oneMember, ...Array.from({ length: 2_000 }, () => gzipSync(" "))])), 202],
  ["members that are two bodies", "gzip", bytes(Buffer.concat([oneMember, oneMember])), 400],
  ["garbage behind gzip", "gzip", bytes(Buffer.concat([oneMember, Buffer.from("garbage")])), 400],
  ["gzip in gzip", "gzip", bytes(gzipSync(gzipSync("x"))), 400],
];

let shared: EventRelay;
beforeAll(async () => {
  shared = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "20"] });
});
afterAll(() => shared?.[Symbol.asyncDispose]());
afterAll(deleteFolders);

const post = (setup: EventRelay, sdkKey: string, [, coding, body]: Bomb) =>
  setup.post(sdkKey, body, coding === "" ? {} : { "content-encoding": coding });

/** The answers' statuses, and the most memory that the relay had meanwhile. */
async function all(setup: EventRelay, sdkKey: string, bombs: readonly Bomb[]) {
  setup.relay.resetPeakRss();
  const answers = await Promise.all(bombs.map((bomb) => post(setup, sdkKey, bomb)));
  for (const answer of answers) await answer.arrayBuffer();
  return { statuses: answers.map((answer) => answer.status), peakBytes: setup.relay.peakRssBytes() };
}

describe("a bomb", () => {
  test.each([...tooMany, ...others])("%s, %s", async (...bomb: Bomb) => {
    const [name, coding, , expected] = bomb;
    const sdkKey = `secret-${name.replaceAll(/\W/g, "-")}-${coding}`;
    const answer = await post(shared, sdkKey, bomb);
    expect(answer.status).toBe(expected);
    // Those that are taken are events like any other, and arrive.
    if (expected === 202 && !name.includes("beside")) {
      await eventually(() => expect(shared.forwarded(sdkKey)).toHaveLength(1));
    }
  });

  test.each([...tooMany, ...others])("30 at once: %s, %s", async (...bomb: Bomb) => {
    const { statuses, peakBytes } = await all(shared, "secret-thirty", Array<Bomb>(30).fill(bomb));
    console.log(bomb[0], bomb[1], Math.round(peakBytes/1e6));
    expect(new Set(statuses)).toEqual(new Set([bomb[3]]));
    expect(peakBytes).toBeLessThan(MAX_RSS_BYTES);
  }, 60_000);
});

describe("30 of the largest bodies that are taken, by an upstream that takes nothing", () => {
  test.each([
    ["20,000 empty events", gzip(`{"events":[${Array(MAX_EVENTS).fill("{}").join(",")}]}`)],
    ["one event of 5 MB", gzip(`{"events":["${"x".repeat(MAX_BODY - 100)}"]}`)],
    ["1,000 events of 5 KB", gzip(`{"events":[${Array(1_000).fill(`"${"y".repeat(5_000)}"`).join(",")}]}`)],
  ])("%s", async (_, body) => {
    await using setup = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "20"] });
    setup.upstream.misbehave(status(500));
    const { statuses, peakBytes } = await all(setup, "secret-a", Array<Bomb>(30).fill(["", "gzip", body, 202]));
    expect(new Set(statuses)).toEqual(new Set([202]));
    await eventually(() => expect(setup.forwarded().length).toBeGreaterThan(1));
    expect(Math.max(peakBytes, setup.relay.peakRssBytes())).toBeLessThan(MAX_RSS_BYTES);
  }, 60_000);
});

describe("--max-events-per-request", () => {
  const events = (count: number) => ({ events: Array.from({ length: count }, (_, at) => at) });

  test("20,000 events are taken, in 20 requests to upstream; one more is refused", async () => {
    expect((await shared.post("secret-most", events(MAX_EVENTS))).status).toBe(202);
    const refused = await shared.post("secret-more", events(MAX_EVENTS + 1));
    expect([refused.status, await refused.json()]).toEqual([413, { code: 413, reason: "Payload Too Large" }]);
    await eventually(() => {
      const batches = shared.forwarded("secret-most");
      expect(batches.flatMap((batch) => batch.events)).toEqual(events(MAX_EVENTS).events);
      expect(batches).toHaveLength(20);
    });
    expect(shared.forwarded("secret-more")).toEqual([]);
    await eventually(() => expect(shared.relay.output()).toContain("too_many_events"));
  });

  test("another bound", async () => {
    await using setup = await startEventRelay({ args: ["--max-events-per-request", "7"] });
    expect((await setup.post("secret-a", events(7))).status).toBe(202);
    expect((await setup.post("secret-a", events(8))).status).toBe(413);
    expect((await setup.post("secret-a", { events: [], more: events(8) })).status).toBe(202);
  });
});

describe("a key that upstream refuses", () => {
  test.each([401, 403])("%d: one request for each body at most, whatever it holds", async (code) => {
    await using setup = await startEventRelay({
      args: ["--log-event-flush-interval-in-ms", "20", "--management-port", `${await freePort()}`],
    });
    setup.upstream.misbehave(status(code));
    const body = gzip(`{"events":[${Array(MAX_EVENTS).fill("{}").join(",")}]}`);
    const bombs = Array<Bomb>(10).fill(["", "gzip", body, 202]);
    const { statuses } = await all(setup, "secret-refused", bombs);
    expect(new Set(statuses)).toEqual(new Set([202]));
    await eventually(async () => {
      const metrics = await (await fetch(`${setup.relay.urlOf("management")}/metrics`)).text();
      const dropped = /LogEventDropped_count_total\{.*reason="refused".*\} (\d+)/.exec(metrics)?.[1];
      expect(Number(dropped)).toBe(10 * MAX_EVENTS);
    });
    expect(setup.forwarded("secret-refused").length).toBeLessThanOrEqual(10);
    expect(setup.relay.output().split(`upstream answered ${code}`)).toHaveLength(2);
  });

  test("with a spool, too", async () => {
    const folder = newFolder();
    await using setup = await startEventRelay({ args: ["--event-spool-path", folder] });
    setup.upstream.misbehave(status(401));
    const answer = await setup.post("secret-refused", { events: Array(5_000).fill(1) });
    expect(answer.status).toBe(202);
    await eventually(() => expect(setup.relay.output()).toContain("upstream answered 401"));
    await Bun.sleep(1_500);
    expect(setup.forwarded()).toHaveLength(1);
  });
});

test("5,000 bodies of as many groups: each arrives, and what is held meanwhile stays in memory", async () => {
  await using setup = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "20"] });
  setup.relay.resetPeakRss();
  const filler = "é".repeat(2_000);
  const groups = Array.from({ length: 5_000 }, (_, at) => `${at}`);
  for (let from = 0; from < groups.length; from += 50) {
    const answers = groups
      .slice(from, from + 50)
      .map((id) => setup.post("secret-groups", { events: [id], statsigMetadata: { id, filler } }));
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(202);
  }
  await eventually(
    () => {
      const events = setup.forwarded("secret-groups").flatMap((batch) => batch.events);
      expect(new Set(events)).toEqual(new Set(groups));
    },
    { withinMs: 30_000, everyMs: 200 },
  );
  expect(setup.relay.peakRssBytes()).toBeLessThan(MAX_RSS_BYTES);
}, 60_000);

describe("bodies of routes that need a few hundred bytes", () => {
  const routes = ["/v1/download_config_specs", "/v2/download_config_specs", "/v1/get_id_lists"];
  test.each(routes)("POST %s: 64 KiB and no more", async (path) => {
    publishKey(shared.upstream, "secret-small");
    const ask = async (bytes: number) => {
      const body = `{"more":"${"x".repeat(bytes - 11)}"}`;
      const headers = { "statsig-api-key": "secret-small" };
      const answer = await fetch(`${shared.relay.httpUrl}${path}`, { method: "POST", headers, body });
      await answer.arrayBuffer();
      return answer.status;
    };
    expect(await ask(64 * 1024)).toBe(200);
    expect(await ask(64 * 1024 + 1)).toBe(413);
    expect(await ask(5 * MIB)).toBe(413);
  });
});
