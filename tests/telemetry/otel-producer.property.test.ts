import { describe, expect, test } from "bun:test";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AggregationTemporality, DataPointType, type ResourceMetrics } from "@opentelemetry/sdk-metrics";
import fc from "fast-check";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { RegistryProducer } from "../../src/telemetry/otlp/metrics.ts";

const COUNT = "statsig.forward_proxy.HttpServerRequestSuccess.count";
const LATENCY = "statsig.forward_proxy.HttpServerRequestSuccess.latency";
const KEYS = ["secret-a*111111", "secret-b*222222", "secret-c*333333"];

type Step =
  | { readonly kind: "measure"; readonly key: string; readonly tookMs: number }
  | { readonly kind: "forget"; readonly key: string }
  | { readonly kind: "collect"; readonly reader: "one" | "other" };

const key = fc.constantFrom(...KEYS);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("measure"), key, tookMs: fc.nat(100_000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget"), key }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("collect"), reader: fc.constantFrom("one", "other") }),
    },
  ),
  { maxLength: 60 },
);

const tagsOf = (sdkKey: string) => ({
  sdk_key: sdkKey,
  path: "/v1/download_config_specs",
  status_code: "200",
  "accept-encoding": "gzip",
  "content-encoding": "gzip",
});

interface Exported {
  readonly key: string;
  readonly count: number;
  readonly buckets: readonly number[];
  readonly fromNs: bigint;
  readonly untilNs: bigint;
}

const ns = ([s, rest]: readonly [number, number]) => BigInt(s) * 1_000_000_000n + BigInt(Math.round(rest));

/** Returns every exported series. Its count and its histogram must agree. */
function exportedIn({ scopeMetrics }: ResourceMetrics): Exported[] {
  const metrics = scopeMetrics.flatMap((scope) => scope.metrics);
  const latencies = metrics.find(({ descriptor }) => descriptor.name === LATENCY);
  const counts = metrics.find(({ descriptor }) => descriptor.name === COUNT);
  if (latencies?.dataPointType !== DataPointType.HISTOGRAM) return [];
  const exported = latencies.dataPoints.map(({ attributes, value, startTime, endTime }) => ({
    key: String(attributes["sdk_key"]),
    count: value.count,
    buckets: value.buckets.counts,
    fromNs: ns(startTime),
    untilNs: ns(endTime),
  }));
  expect(counts?.dataPoints.map(({ value }) => value as number)).toEqual(exported.map(({ count }) => count));
  return exported;
}

/** A reader, and the counts that its next collection must contain. */
class Reader {
  readonly #producer: RegistryProducer;
  readonly owed = new Map<string, number>();
  readonly last = new Map<string, Exported>();
  collectedNs = 0n;

  constructor(registry: MetricRegistry, temporality: AggregationTemporality) {
    this.#producer = new RegistryProducer({ registry, resource: resourceFromAttributes({}), temporality });
  }

  async collect(): Promise<Exported[]> {
    return exportedIn((await this.#producer.collect()).resourceMetrics);
  }
}

async function play(
  script: readonly Step[],
  temporality: AggregationTemporality,
  judge: (reader: Reader, exported: readonly Exported[]) => void,
): Promise<void> {
  const registry = new MetricRegistry({ maxSeries: 1_000, keepsSamples: false });
  const readers = { one: new Reader(registry, temporality), other: new Reader(registry, temporality) };
  const both = Object.values(readers);
  const last = [{ kind: "collect", reader: "one" } as const, { kind: "collect", reader: "other" } as const];
  for (const step of [...script, ...last]) {
    switch (step.kind) {
      case "measure":
        registry.time("HttpServerRequestSuccess", tagsOf(step.key), step.tookMs);
        for (const { owed } of both) owed.set(step.key, (owed.get(step.key) ?? 0) + 1);
        break;
      case "forget":
        registry.forgetKey(step.key, () => true);
        for (const { owed } of both) owed.delete(step.key);
        break;
      case "collect":
        judge(readers[step.reader], await readers[step.reader].collect());
    }
  }
}

describe("measuring, forgetting and collecting in any order", () => {
  test("yields deltas that are never negative, never overlap and add up for each reader", async () => {
    await fc.assert(
      fc.asyncProperty(steps, (script) =>
        play(script, AggregationTemporality.DELTA, (reader, exported) => {
          expect(new Map(exported.map((each) => [each.key, each.count]))).toEqual(reader.owed);
          for (const { count, buckets, fromNs, untilNs } of exported) {
            expect(Math.min(...buckets)).toBeGreaterThanOrEqual(0);
            expect(buckets.reduce((sum, each) => sum + each, 0)).toBe(count);
            expect(fromNs).toBeGreaterThanOrEqual(reader.collectedNs);
            expect(untilNs).toBeGreaterThanOrEqual(fromNs);
          }
          reader.collectedNs = exported[0]?.untilNs ?? reader.collectedNs;
          reader.owed.clear();
        }),
      ),
      { numRuns: 100 },
    );
  });

  test("yields totals that only decrease if the series has started again, as its start time says", async () => {
    await fc.assert(
      fc.asyncProperty(steps, (script) =>
        play(script, AggregationTemporality.CUMULATIVE, (reader, exported) => {
          for (const each of exported) {
            const last = reader.last.get(each.key);
            if (last !== undefined && each.count < last.count)
              expect(each.fromNs).toBeGreaterThanOrEqual(last.untilNs);
            reader.last.set(each.key, each);
          }
        }),
      ),
      { numRuns: 100 },
    );
  });
});
