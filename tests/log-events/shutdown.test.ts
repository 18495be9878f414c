import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { settle } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { eventBatch, eventGroup } from "../support/log-events/event-batches.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { accepted, failed, startForwarder } from "../support/telemetry/scripted-sink.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const [a, b] = [eventGroup("a"), eventGroup("b")];
const labels = (count: number) => Array.from({ length: count }, (_, at) => `${at}`);

describe("a forwarder that is flushed", () => {
  test("sends what waits, although it is not due, and reports nothing", async () => {
    await using setup = startForwarder();
    for (let at = 0; at < 50; at++) {
      await setup.queue.put(eventBatch(eventGroup(`g${at}`), labels(10), setup.clock.now()));
    }
    await setup.forwarder.flush(setup.grace.signal);
    expect(setup.sink.accepted).toHaveLength(500);
    expect(setup.ofKind("log_events_left")).toEqual([]);
  });

  test("retries until the deadline, then reports how many events are lost", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink, grace } = setup;
    sink.script = ({ group }) => (group.metadata === a.metadata ? failed : accepted);
    await queue.put(eventBatch(a, labels(3), clock.now()));
    await queue.put(eventBatch(b, labels(4), clock.now()));
    const flushed = setup.forwarder.flush(grace.signal);
    await clock.advance(5_000);
    expect(sink.accepted).toHaveLength(4);
    expect(sink.requests.length).toBeWithin(8, 15);
    grace.abort();
    await flushed;
    expect(setup.ofKind("log_events_left")).toEqual([
      { kind: "log_events_left", events: 3, outcome: "lost" },
    ]);
  });

  test("does not wait after the deadline for a request that hangs", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink, grace } = setup;
    sink.script = () => new Promise(() => {});
    await queue.put(eventBatch(a, labels(3), clock.now()));
    const flushed = setup.forwarder.flush(grace.signal);
    await settle();
    grace.abort();
    await flushed;
    expect(setup.ofKind("log_events_left")).toMatchObject([{ events: 3 }]);
  });
});

describe("a relay on SIGTERM", () => {
  test("sends what waits and exits with 0", async () => {
    await using setup = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "60000"] });
    for (let at = 0; at < 20; at++) await setup.post("secret-a", { events: [at, `${at}`] });
    expect(setup.forwarded()).toEqual([]);
    expect(await setup.relay.stop()).toBe(0);
    expect(setup.forwarded().flatMap(({ events }) => events)).toHaveLength(40);
    expect(setup.relay.output()).not.toContain("lost");
  });

  test("exits after the grace if upstream hangs, and logs how many events are lost", async () => {
    await using setup = await startEventRelay({
      args: ["--shutdown-grace-in-s", "1", "--log-event-flush-interval-in-ms", "10"],
    });
    setup.upstream.misbehave({ kind: "hang" });
    await setup.post("secret-a", { events: [1, 2, 3] });
    await eventually(() => expect(setup.upstream.requests).toHaveLength(1));
    const began = performance.now();
    expect(await setup.relay.stop()).toBe(0);
    // A request that hangs is given up after 30 s.
    expect(performance.now() - began).toBeWithin(900, 10_000);
    expect(setup.relay.output()).toContain("log events lost at shutdown events=3");
  });

  test("loses nothing with a spool: the next start sends the events", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sfp-event-spool-"));
    const args = ["--shutdown-grace-in-s", "1", "--event-spool-path", folder];
    await using upstream = await startUpstream();
    upstream.misbehave(status(503));
    {
      await using setup = await startEventRelay({ upstream, args });
      await setup.post("secret-a", { events: [1, 2, 3] });
      expect(await setup.relay.stop()).toBe(0);
      expect(setup.relay.output()).toContain("log events kept for the next start events=3");
    }
    upstream.behave();
    upstream.forgetRequests();
    await using setup = await startEventRelay({ upstream, args });
    await eventually(() => expect(setup.forwarded().map(({ events }) => events)).toEqual([[1, 2, 3]]));
    rmSync(folder, { recursive: true });
  });
});
