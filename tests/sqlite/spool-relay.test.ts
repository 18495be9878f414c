import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { eventGroup, eventText } from "../support/log-events/event-batches.ts";
import { decodeForwarded } from "../support/log-events/event-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { lockedBy } from "../support/relay/runtime.ts";
import { drain, openSpool } from "../support/sqlite/event-spools.ts";
import { startHelper } from "../support/sqlite/helper-process.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const CLIENTS = 20;
const KILLS = 4;
const PER_BATCH = 100;

test("a relay with a spool that is killed repeatedly under load delivers every accepted event", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-spooled-events-"));
  await using upstream = await startUpstream();
  upstream.misbehave(status(503), { when: () => Math.random() < 0.3 });
  const start = () =>
    startRelayProcess({
      upstream,
      mode: "http",
      args: ["--event-spool-path", folder, "--log-event-flush-interval-in-ms", "100"],
      env: { LOG_EVENT_STATSIG_ENDPOINT: upstream.url },
    });
  const accepted = new Set<string>();
  let next = 0;

  /** A client that sends batches until the relay is gone. */
  async function send(url: string, client: number): Promise<void> {
    for (;;) {
      const ids = Array.from({ length: PER_BATCH }, () => `event-${next++}`);
      const body = JSON.stringify({
        events: ids.map((id) => ({ eventName: "bought", id })),
        statsigMetadata: {},
      });
      const headers = { "statsig-api-key": `secret-spool-${client % 4}` };
      const answer = await fetch(`${url}/v1/log_event`, { method: "POST", body, headers });
      await answer.arrayBuffer();
      if (answer.status !== 202) throw new Error(`answered ${answer.status}`);
      for (const id of ids) accepted.add(id);
    }
  }

  try {
    for (let round = 0; round < KILLS; round++) {
      await using relay = await start();
      const clients = Array.from({ length: CLIENTS }, (_, client) =>
        send(relay.httpUrl, client).catch(() => undefined),
      );
      const before = accepted.size;
      await eventually(() => expect(accepted.size).toBeGreaterThan(before + 5 * PER_BATCH));
      await Bun.sleep(Math.random() * 500);
      await relay.kill();
      await Promise.all(clients);
    }
    upstream.behave();
    await using _ = await start();
    const arrived = () =>
      upstream.requests
        .filter((request) => request.path === "/v1/log_event")
        .flatMap((request) => decodeForwarded(request).events as { id: string }[])
        .map(({ id }) => id);
    await eventually(
      () => {
        const there = new Set(arrived());
        expect([...accepted].filter((id) => !there.has(id))).toEqual([]);
      },
      { withinMs: 30_000, everyMs: 500 },
    );
    const all = arrived();
    console.log(
      `${KILLS} kills: accepted ${accepted.size}, all of them arrived; sent upstream ${all.length}, ` +
        `distinct ${new Set(all).size} (failed requests and crashes repeat some)`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 90_000);

test("a relay whose spool another process uses serves at once, forwards from memory, and ends on SIGTERM", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-shared-spool-"));
  try {
    await using upstream = await startUpstream();
    await using other = await startHelper("spool-user-process.ts", folder);
    other.hang();
    await using relay = await startRelayProcess({
      upstream,
      mode: "http",
      args: ["--event-spool-path", folder, "--shutdown-grace-in-s", "120"],
      env: { LOG_EVENT_STATSIG_ENDPOINT: upstream.url },
    });
    const body = JSON.stringify({ events: [{ eventName: "bought" }], statsigMetadata: {} });
    const headers = { "statsig-api-key": "secret-shared" };
    const answer = await fetch(`${relay.httpUrl}/v1/log_event`, { method: "POST", body, headers });
    expect(answer.status).toBe(202);
    await eventually(() => expect(relay.output()).toMatch(lockedBy(other.pid)), { withinMs: 15_000 });
    expect(await relay.stop()).toBe(0);
    expect(upstream.requests.filter(({ path }) => path === "/v1/log_event")).toHaveLength(1);
    await other[Symbol.asyncDispose]();
    await using again = await openSpool(folder);
    expect(await drain(again.spool)).toEqual(
      new Map([[eventGroup("first").metadata, [eventText("of the first")]]]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
