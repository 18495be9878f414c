import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { eventually } from "../support/common/wait.ts";
import { decodeForwarded, startEventRelay } from "../support/log-events/event-relay.ts";
import { status } from "../support/upstream/upstream.ts";
import type { UpstreamRequest } from "../support/upstream/upstream-request.ts";

const CLIENTS = 50;
const BATCHES = 20;
const PER_BATCH = 100;
const DUPLICATES_PER_BATCH = 10;

interface NumberedEvent {
  readonly eventName: string;
  readonly id: string;
}

/** A few of 100 events are exposures that the client has sent before. */
function batchOf(client: number, batch: number): NumberedEvent[] {
  return Array.from({ length: PER_BATCH }, (_, at) => {
    const isRepeat = batch > 0 && at < DUPLICATES_PER_BATCH;
    const id = `${client}-${isRepeat ? 0 : batch}-${at}`;
    return {
      eventName: "statsig::gate_exposure",
      time: 60_000,
      user: { userID: id },
      metadata: { gate: "g" },
      id,
    };
  });
}

const DUPLICATES = CLIENTS * (BATCHES - 1) * DUPLICATES_PER_BATCH;
const SENT = CLIENTS * BATCHES * PER_BATCH;

test(`${CLIENTS} clients x ${BATCHES * PER_BATCH} events through an upstream that fails half of the requests, hangs and restarts: each arrives once`, async () => {
  await using setup = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "200"] });
  const { upstream, relay } = setup;
  const refused = new Set<UpstreamRequest>();
  const fails = (request: UpstreamRequest, share: number) => {
    if (Math.random() >= share) return false;
    refused.add(request);
    return true;
  };
  upstream.misbehave(status(500), { when: (request) => fails(request, 0.4) });
  upstream.misbehave({ kind: "reset" }, { when: (request) => fails(request, 0.1) });

  const startedAt = performance.now();
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    for (let batch = 0; batch < BATCHES; batch++) {
      const body = { events: batchOf(client, batch), statsigMetadata: { sessionID: `${client}` } };
      await send(body, `secret-${client % 5}`);
      await sleep(20 + Math.random() * 200);
    }
  });
  const restarts = restartNowAndThen();
  await Promise.all([...clients, restarts]);

  const arrived = await eventually(
    () => {
      const events = accepted().flatMap(({ events }) => events as NumberedEvent[]);
      expect(events.length).toBeGreaterThanOrEqual(SENT - DUPLICATES);
      return events;
    },
    { withinMs: 60_000, everyMs: 250 },
  );
  await sleep(500);
  const batches = accepted();
  const ids = new Set(arrived.map(({ id }) => id));
  console.log(
    `sent ${SENT}, of them ${DUPLICATES} duplicates; arrived ${arrived.length}, distinct ${ids.size}; ` +
      `requests accepted ${batches.length}, failed ${refused.size}; ${Math.round(performance.now() - startedAt)} ms`,
  );
  expect(ids.size).toBe(SENT - DUPLICATES);
  expect(batches.flatMap(({ events }) => events)).toHaveLength(ids.size);
  for (const [client, order] of orderByClient(batches)) {
    const expected = [...Array(BATCHES).keys()].flatMap((batch) =>
      batchOf(Number(client), batch)
        .slice(batch === 0 ? 0 : DUPLICATES_PER_BATCH)
        .map(({ id }) => id),
    );
    expect(order).toEqual(expected);
  }

  async function send(body: object, sdkKey: string): Promise<void> {
    const answer = await fetch(`${relay.httpUrl}/v1/log_event`, {
      method: "POST",
      body: new Uint8Array(gzipSync(JSON.stringify(body))),
      headers: { "statsig-api-key": sdkKey, "content-encoding": "gzip" },
    });
    expect(answer.status).toBe(202);
  }

  /** Hangs before it stops, so that no response is in flight when the connections are closed. */
  async function restartNowAndThen(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      await sleep(1_200);
      const restore = upstream.misbehave({ kind: "hang" }, { when: (request) => fails(request, 1) });
      await sleep(700);
      await upstream.stop();
      await sleep(300);
      restore();
      await upstream.restart();
    }
  }

  function accepted() {
    return upstream.requests
      .filter((request) => request.path === "/v1/log_event" && !refused.has(request))
      .map(decodeForwarded);
  }
}, 120_000);

function orderByClient(
  batches: readonly { readonly metadata: unknown; readonly events: readonly unknown[] }[],
): Map<string, string[]> {
  const orders = new Map<string, string[]>();
  for (const { metadata, events } of batches) {
    const { sessionID } = metadata as { sessionID: string };
    const order = orders.get(sessionID) ?? [];
    order.push(...(events as NumberedEvent[]).map(({ id }) => id));
    orders.set(sessionID, order);
  }
  return orders;
}
