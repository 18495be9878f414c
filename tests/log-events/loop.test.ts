import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { decodeForwarded, startEventRelay } from "../support/log-events/event-relay.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const COMPLAINT = "LOG_EVENT_STATSIG_ENDPOINT points back to a relay that already forwarded these events";
const KEY = "secret-loop";

const startTowards = (upstream: Upstream, httpPort: number, eventsUrl: string) =>
  startRelayProcess({
    upstream,
    mode: "http",
    httpPort,
    args: ["--log-event-flush-interval-in-ms", "50", "--debug-logging"],
    env: { LOG_EVENT_STATSIG_ENDPOINT: eventsUrl },
  });

async function post(relay: RelayProcess): Promise<void> {
  const { status } = await fetch(`${relay.httpUrl}/v1/log_event`, {
    method: "POST",
    headers: { "statsig-api-key": KEY },
    body: JSON.stringify({ events: [{ eventName: "once", user: {} }] }),
  });
  expect(status).toBe(202);
}

const accepted = (relay: RelayProcess) => relay.output().split("log events accepted").length - 1;
const urlOf = (port: number) => `http://127.0.0.1:${port}`;

test("a relay that forwards to itself accepts the events once, keeps them, and reports the loop", async () => {
  await using upstream = await startUpstream();
  publishKey(upstream, KEY);
  const port = await freePort();
  await using relay = await startTowards(upstream, port, urlOf(port));
  await post(relay);
  await eventually(() => expect(relay.output()).toContain(COMPLAINT));
  await eventually(() => expect(accepted(relay)).toBe(1));
  await sleep(1_500);
  expect(accepted(relay)).toBe(1);
  expect(relay.output()).not.toContain("log events sent");
});

test("events in a loop of two relays go around once", async () => {
  await using upstream = await startUpstream();
  publishKey(upstream, KEY);
  const [here, there] = [await freePort(), await freePort()];
  await using first = await startTowards(upstream, here, urlOf(there));
  await using second = await startTowards(upstream, there, urlOf(here));
  await post(first);
  await eventually(() => expect(second.output()).toContain(COMPLAINT));
  await eventually(() => expect([accepted(first), accepted(second)]).toEqual([1, 1]));
  await sleep(1_500);
  expect([accepted(first), accepted(second)]).toEqual([1, 1]);
});

test("a chain of relays forwards events, and each names itself to the next", async () => {
  await using last = await startEventRelay();
  publishKey(last.upstream, KEY);
  await using middle = await startTowards(last.upstream, await freePort(), last.relay.httpUrl);
  await using first = await startTowards(last.upstream, await freePort(), middle.httpUrl);
  await post(first);
  const [batch] = await eventually(() => {
    expect(last.forwarded(KEY)).toHaveLength(1);
    return last.forwarded(KEY);
  });
  expect(batch && decodeForwarded(batch.request).events).toEqual([{ eventName: "once", user: {} }]);
  expect(batch?.request.headers["x-sfp-via"]).toMatch(/^[0-9a-f]{8},[0-9a-f]{8},[0-9a-f]{8}$/);
});
