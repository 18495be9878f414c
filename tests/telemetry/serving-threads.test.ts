import { describe, expect, test } from "bun:test";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { KeyTags } from "../../src/telemetry/metrics/tags.ts";
import { findProblems } from "../../src/telemetry/status/problems.ts";
import { findUpstream } from "../../src/telemetry/status/upstream.ts";
import { createTelemetry } from "../../src/telemetry/telemetry.ts";
import { FakeClock } from "../support/common/fake-clock.ts";

function startTelemetry() {
  const registry = new MetricRegistry({ maxSeries: 1_000, keepsSamples: false });
  const clock = new FakeClock();
  const logger = { log: () => {} };
  const telemetry = createTelemetry({ logger, registry, keys: new KeyTags(), clock, preload: [] });
  const { serving } = telemetry;
  for (const name of ["http-1", "http-2", "http2-1"])
    serving.emit({ kind: "thread_started", name, isReplacement: false });
  const gauge = async () => {
    const gauges = await Array.fromAsync(registry.readGauges());
    const found = gauges.find(({ row }) => row.name === "ServingThreads")?.readings ?? [];
    return found.map(([{ protocol, state }, value]) => `${protocol} ${state} ${value}`);
  };
  const lost = () =>
    [...registry.families()]
      .filter(({ row }) => row.name === "ServingThreadLost")
      .flatMap((family) => Array.from(family.all(), ({ tags, count }) => `${tags["reason"]} ${count}`));
  const problems = () =>
    findProblems({
      ...{ telemetry, now: clock.now(), notReady: [], redis: null, local: null },
      upstream: findUpstream([], telemetry.specs.polls.upstream, () => true),
      events: {} as never,
    }).filter(({ kind }) => kind === "serving_threads_missing");
  return { serving, clock, gauge, lost, problems };
}

const lostThread = (name: string, reason: "died" | "hung" = "died") =>
  ({ kind: "thread_lost", name, reason, detail: "out of memory" }) as const;

describe("serving threads", () => {
  test("are counted by protocol and state", async () => {
    const { serving, gauge, lost, problems } = startTelemetry();
    expect(await gauge()).toEqual([
      ...["http running 2", "http missing 0", "http2 running 1", "http2 missing 0"],
    ]);
    // From the start, so that Prometheus sees the first one as an increase.
    expect(lost()).toEqual(["died 0", "hung 0"]);
    expect([serving.wanted, serving.running, problems()]).toEqual([3, 3, []]);
    serving.emit(lostThread("http-2", "hung"));
    expect(await gauge()).toEqual([
      ...["http running 1", "http missing 1", "http2 running 1", "http2 missing 0"],
    ]);
    expect(lost()).toEqual(["died 0", "hung 1"]);
    expect([serving.wanted, serving.running]).toEqual([3, 2]);
  });

  test("are a problem from the first loss until all are replaced", async () => {
    const { serving, clock, problems } = startTelemetry();
    const since = new Date(clock.now()).toISOString();
    serving.emit(lostThread("http-1"));
    await clock.advance(5_000);
    serving.emit({ kind: "thread_failed_to_start", name: "http-1", detail: "no memory", retryInMs: 1_000 });
    const text = "2 of 3 serving threads are running";
    const detail = "http-1 did not start: no memory";
    const problem = { kind: "serving_threads_missing", severity: "warning", text, since, detail } as const;
    expect(problems()).toEqual([problem]);
    serving.emit({ kind: "thread_started", name: "http-1", isReplacement: true });
    expect(problems()).toEqual([]);
  });

  test("are a critical problem if none of a protocol runs", () => {
    const { serving, problems } = startTelemetry();
    serving.emit(lostThread("http2-1"));
    expect(problems()).toMatchObject([
      {
        severity: "critical",
        detail: "http2-1 died: out of memory",
        text: "2 of 3 serving threads are running",
      },
    ]);
  });
});
