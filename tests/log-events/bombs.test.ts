import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import {
  bombHeaders,
  EVENT_BOMBS,
  type EventBomb,
  findBomb,
  MAX_EVENTS,
} from "../support/log-events/event-bombs.ts";
import { type EventRelay, startEventRelay } from "../support/log-events/event-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { status } from "../support/upstream/upstream.ts";

const AT_ONCE = 30;
/** The relay itself takes 70 MB, on Deno 120 MB. Without limits, each body takes 420 MB. V8 frees memory later than Bun. */
const MAX_RSS_BYTES = isOnDeno ? 600_000_000 : 250_000_000;
/** Megabytes of events are compressed, sent and read. */
const PATIENT = { withinMs: 20_000 };
const QUICK = ["--log-event-flush-interval-in-ms", "20"];

let shared: EventRelay;
beforeAll(async () => {
  shared = await startEventRelay({ args: QUICK });
});
afterAll(() => shared?.[Symbol.asyncDispose]());
afterAll(deleteFolders);

const post = (setup: EventRelay, sdkKey: string, bomb: EventBomb) =>
  setup.post(sdkKey, bomb.body, bombHeaders(bomb));

/** Sends a body many times at once. Returns the responses, and the most memory that the relay had meanwhile. */
async function postMany(setup: EventRelay, sdkKey: string, bomb: EventBomb, count: number) {
  setup.relay.resetPeakRss();
  const answers = await Promise.all(Array.from({ length: count }, () => post(setup, sdkKey, bomb)));
  const statuses = new Set(answers.map((answer) => answer.status));
  for (const answer of answers) await answer.arrayBuffer();
  return { statuses: [...statuses], peakBytes: setup.relay.peakRssBytes() };
}

const named = EVENT_BOMBS.map((bomb) => [bomb.name, bomb.coding, bomb] as const);

describe("decompression bombs and other costly bodies", () => {
  test.each(named)("%s, %s", async (_, coding, bomb) => {
    const sdkKey = `secret-${bomb.name.replaceAll(/\W/g, "-")}-${coding}`;
    expect((await post(shared, sdkKey, bomb)).status).toBe(bomb.status);
    const hasEvents = bomb.status === 202 && !bomb.name.endsWith("beside the events");
    if (!hasEvents) return;
    const texts = await eventually(() => {
      const batches = shared.forwarded(sdkKey);
      expect(batches.length).toBeGreaterThan(0);
      return batches.map(({ text }) => text);
    }, PATIENT);
    // Accepted events are forwarded like any others.
    for (const text of texts) expect(JSON.parse(text)).toHaveProperty("events");
  });

  test.each(named)(
    `${AT_ONCE} at once: %s, %s`,
    async (_, __, bomb) => {
      const { statuses, peakBytes } = await postMany(shared, "secret-many", bomb, AT_ONCE);
      expect(statuses).toEqual([bomb.status]);
      expect(peakBytes).toBeLessThan(MAX_RSS_BYTES);
    },
    60_000,
  );

  test.each(["20,000 empty events", "one event of 5 MB", "one event of 1.7 million objects"])(
    `${AT_ONCE} at once while upstream accepts nothing: %s`,
    async (name) => {
      await using setup = await startEventRelay({ args: QUICK });
      setup.upstream.misbehave(status(500));
      const { statuses, peakBytes } = await postMany(setup, "secret-a", findBomb(name), AT_ONCE);
      expect(statuses).toEqual([202]);
      await eventually(() => expect(setup.forwarded().length).toBeGreaterThan(1), PATIENT);
      expect(Math.max(peakBytes, setup.relay.peakRssBytes())).toBeLessThan(MAX_RSS_BYTES);
    },
    60_000,
  );
});

describe("--max-events-per-request", () => {
  const events = (count: number) => ({ events: Array.from({ length: count }, (_, at) => at) });

  test("accepts 20,000 events, which take 20 requests to upstream, and rejects one more", async () => {
    expect((await shared.post("secret-most", events(MAX_EVENTS))).status).toBe(202);
    const refused = await shared.post("secret-more", events(MAX_EVENTS + 1));
    expect([refused.status, await refused.json()]).toEqual([413, { code: 413, reason: "Payload Too Large" }]);
    await eventually(() => {
      const batches = shared.forwarded("secret-most");
      expect(batches.flatMap((batch) => batch.events)).toEqual(events(MAX_EVENTS).events);
      expect(batches).toHaveLength(20);
    }, PATIENT);
    expect(shared.forwarded("secret-more")).toEqual([]);
    await eventually(() => expect(shared.relay.output()).toContain("reason=too_many_events"));
  });

  test("changes the limit", async () => {
    await using setup = await startEventRelay({ args: ["--max-events-per-request", "7"] });
    expect((await setup.post("secret-a", events(7))).status).toBe(202);
    expect((await setup.post("secret-a", events(8))).status).toBe(413);
    expect((await setup.post("secret-a", { ...events(0), more: events(8) })).status).toBe(202);
  });

  test("a relay whose upstream has a lower limit halves its requests and loses nothing", async () => {
    await using last = await startEventRelay({ args: [...QUICK, "--max-events-per-request", "300"] });
    const env = { LOG_EVENT_STATSIG_ENDPOINT: last.relay.httpUrl };
    await using first = await startEventRelay({ args: QUICK, upstream: last.upstream, env });
    expect((await first.post("secret-a", events(2_000))).status).toBe(202);
    await eventually(() => {
      const arrived = last.forwarded("secret-a").flatMap((batch) => batch.events);
      expect(arrived).toEqual(events(2_000).events);
    }, PATIENT);
  });
});

describe("an SDK key that upstream rejects", () => {
  test.each([401, 403])("with %d gets at most one request per body, and one log line", async (code) => {
    const port = await freePort();
    await using setup = await startEventRelay({ args: [...QUICK, "--management-port", `${port}`] });
    setup.upstream.misbehave(status(code));
    const bodies = 10;
    const { statuses } = await postMany(setup, "secret-a", findBomb("20,000 empty events"), bodies);
    expect(statuses).toEqual([202]);
    await eventually(async () => {
      const metrics = await (await fetch(`${setup.relay.urlOf("management")}/metrics`)).text();
      const dropped = /LogEventDropped_count_total\{[^}]*reason="refused"[^}]*\} (\d+)/.exec(metrics)?.[1];
      expect(Number(dropped)).toBe(bodies * MAX_EVENTS);
    }, PATIENT);
    expect(setup.forwarded().length).toBeLessThanOrEqual(bodies);
    expect(setup.relay.output().split(`upstream answered ${code}`)).toHaveLength(2);
  });

  test("has nothing left in the spool", async () => {
    const folder = newFolder();
    const spooled = { args: [...QUICK, "--event-spool-path", folder] };
    {
      await using setup = await startEventRelay(spooled);
      setup.upstream.misbehave(status(401));
      expect((await setup.post("secret-a", { events: Array(5_000).fill(1) })).status).toBe(202);
      await eventually(() => expect(setup.relay.output()).toContain("upstream answered 401"));
      expect(await setup.relay.stop()).toBe(0);
      expect(setup.forwarded()).toHaveLength(1);
    }
    await using setup = await startEventRelay(spooled);
    expect((await setup.post("secret-a", { events: ["later"] })).status).toBe(202);
    await eventually(() => expect(setup.forwarded().flatMap((batch) => batch.events)).toEqual(["later"]));
  });
});

test("5,000 bodies of as many groups arrive, with bounded memory", async () => {
  await using setup = await startEventRelay({ args: QUICK });
  setup.relay.resetPeakRss();
  const filler = "é".repeat(2_000);
  const ids = Array.from({ length: 5_000 }, (_, at) => `${at}`);
  for (let from = 0; from < ids.length; from += 50) {
    const answers = ids
      .slice(from, from + 50)
      .map((id) => setup.post("secret-a", { events: [id], statsigMetadata: { id, filler } }));
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(202);
  }
  await eventually(
    () => {
      const events = setup.forwarded("secret-a").flatMap((batch) => batch.events);
      expect(new Set(events)).toEqual(new Set(ids));
    },
    { withinMs: 30_000, everyMs: 200 },
  );
  expect(setup.relay.peakRssBytes()).toBeLessThan(MAX_RSS_BYTES);
}, 60_000);

test("large metadata counts towards the queue's memory: responds 503 before memory runs out", async () => {
  await using setup = await startEventRelay();
  setup.upstream.misbehave({ kind: "hang" });
  setup.relay.resetPeakRss();
  // Three bytes in UTF-8, two in memory.
  const filler = "€".repeat(20_000);
  const statuses = new Set<number>();
  for (let from = 0; from < 8_000; from += 40) {
    const answers = Array.from({ length: 40 }, (_, at) => {
      const body = gzipSync(JSON.stringify({ events: [1], statsigMetadata: { id: from + at, filler } }));
      return setup.post("secret-a", new Uint8Array(body), { "content-encoding": "gzip" });
    });
    for (const answer of await Promise.all(answers)) statuses.add(answer.status);
  }
  expect(statuses).toEqual(new Set([202, 503]));
  // 256 MiB for the queue, and the rest for the relay.
  expect(setup.relay.peakRssBytes()).toBeLessThan(750_000_000);
}, 60_000);

describe("bodies of routes that need only a few hundred bytes", () => {
  const routes = ["/v1/download_config_specs", "/v2/download_config_specs", "/v1/get_id_lists"];
  test.each(routes)("POST %s accepts at most 64 KiB", async (path) => {
    publishKey(shared.upstream, "secret-small");
    const statusOf = async (bytes: number) => {
      const body = `{"more":"${"x".repeat(bytes - 11)}"}`;
      const headers = { "statsig-api-key": "secret-small" };
      const answer = await fetch(`${shared.relay.httpUrl}${path}`, { method: "POST", headers, body });
      await answer.arrayBuffer();
      return answer.status;
    };
    expect(await statusOf(64 * 1024)).toBe(200);
    expect(await statusOf(64 * 1024 + 1)).toBe(413);
    expect(await statusOf(5 * 1024 * 1024)).toBe(413);
  });
});
