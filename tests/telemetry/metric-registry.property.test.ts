import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseSdkKey, type SdkKey } from "../../src/access/sdk-key.ts";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import type { Series } from "../../src/telemetry/metrics/series.ts";
import { KeyTags } from "../../src/telemetry/metrics/tags.ts";
import { takeMeasurements } from "../../src/telemetry/push/measurement.ts";
import { createTelemetry } from "../../src/telemetry/telemetry.ts";
import { FakeClock } from "../support/common/fake-clock.ts";

const NAME = "GrpcServerRequest";
const MAX_SERIES = 300;

const registryOf = (keepsSamples = true) => new MetricRegistry({ maxSeries: MAX_SERIES, keepsSamples });

const tagsOf = (key: string, path: string) => ({ sdk_key: key, path, code: "ok" });

function seriesOf(registry: MetricRegistry, name: string = NAME): Series[] {
  const family = [...registry.families()].find(({ row }) => row.name === name);
  return [...(family?.all() ?? [])];
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** The sum of what all drains have returned of the metric. */
class Drained {
  count = 0;
  seen = 0;

  async take(registry: MetricRegistry): Promise<void> {
    for (const each of await takeMeasurements(registry, "4.1")) {
      if (!each.name.includes(NAME)) continue;
      if (each.kind === "count") this.count += each.value;
      if (each.kind !== "latency") continue;
      this.seen += each.seen;
      expect(each.values.length).toBeWithin(1, Math.min(100, each.seen) + 1);
    }
  }
}

const keyNames = fc.oneof(
  { weight: 4, arbitrary: fc.nat(150).map((at) => `secret-${at}*abc`) },
  { weight: 1, arbitrary: fc.constant("unknown") },
);
const actions = fc.oneof(
  { weight: 50, arbitrary: fc.record({ key: keyNames, path: fc.nat(300), ms: fc.nat(100_000) }) },
  { weight: 2, arbitrary: fc.record({ forget: keyNames }) },
  { weight: 1, arbitrary: fc.constant("drain" as const) },
);

describe("for any measurements in any order", () => {
  test("the number of series is bounded, and every measurement is exported once", async () => {
    const property = fc.asyncProperty(
      fc.array(actions, { minLength: 300, maxLength: 1_500, size: "max" }),
      async (all) => {
        const registry = registryOf();
        const drained = new Drained();
        let measured = 0;
        for (const action of all) {
          if (action === "drain") await drained.take(registry);
          else if ("forget" in action) registry.forgetKey(action.forget, () => true);
          else {
            registry.time(NAME, tagsOf(action.key, `/${action.path}`), action.ms / 100);
            measured++;
          }
          expect(seriesOf(registry).length).toBeLessThanOrEqual(MAX_SERIES);
        }
        await drained.take(registry);
        expect([drained.count, drained.seen]).toEqual([measured, measured]);
        for (const { count, buckets } of seriesOf(registry)) expect(sum([...(buckets ?? [])])).toBe(count);
      },
    );
    await fc.assert(property, { numRuns: 25 });
  });

  test("the series add up to all measurements if no key is forgotten", () => {
    const registry = registryOf(false);
    for (let at = 0; at < 20_000; at++) {
      registry.count("LogEventAccepted", { sdk_key: `secret-${at % 7_000}` }, 3);
      registry.count("LimitReached", { limit: `limit-${at}` });
    }
    for (const [name, total] of [
      ["LogEventAccepted", 60_000],
      ["LimitReached", 20_000],
    ] as const) {
      const series = seriesOf(registry, name);
      expect(series.length).toBeLessThanOrEqual(MAX_SERIES);
      expect(sum(series.map(({ count }) => count))).toBe(total);
      expect(series.filter(({ tags }) => Object.values(tags).includes("other"))).toHaveLength(1);
    }
  });
});

describe("at the limit of series", () => {
  test("unknown keys leave series for known keys, however many paths they request", () => {
    const registry = registryOf();
    for (let at = 0; at < 5_000; at++) registry.time(NAME, tagsOf("unknown", `/${at}`), 1);
    expect(registry.series(NAME, tagsOf("secret-1*abc", "/v1")).tags).toMatchObject({
      sdk_key: "secret-1*abc",
    });
  });

  test("known keys leave series for unknown keys and for metrics without keys", () => {
    const registry = registryOf();
    for (let at = 0; at < 5_000; at++) registry.time(NAME, tagsOf(`secret-${at}*abc`, "/v1"), 1);
    expect(registry.series(NAME, tagsOf("unknown", "/v2")).tags).toMatchObject({ sdk_key: "unknown" });
    expect(registry.series(NAME, tagsOf("secret-new*abc", "/v3")).tags).toMatchObject({
      sdk_key: "other",
      path: "/v3",
    });
  });

  test("a key that is no longer cached frees its series", () => {
    const registry = registryOf();
    for (let at = 0; at < 5_000; at++) registry.time(NAME, tagsOf(`secret-${at}*abc`, "/v1"), 1);
    registry.forgetKey("secret-0*abc", () => true);
    expect(registry.series(NAME, tagsOf("secret-new*abc", "/v1")).tags).toMatchObject({
      sdk_key: "secret-new*abc",
    });
  });

  test("what is measured of a removed key counts for unknown keys until the key is known again", () => {
    const registry = registryOf();
    const tags = tagsOf("secret-0*abc", "/v1");
    let isKnown = false;
    registry.time(NAME, tags, 1);
    registry.forgetKey("secret-0*abc", () => isKnown);
    registry.time(NAME, tags, 1);
    expect(registry.series(NAME, tags).tags).toMatchObject({ sdk_key: "unknown", path: "/v1" });
    expect(registry.series(NAME, tagsOf("unknown", "/v1")).count).toBe(1);
    isKnown = true;
    registry.time(NAME, tags, 1);
    expect(registry.series(NAME, tags)).toMatchObject({ tags: { sdk_key: "secret-0*abc" }, count: 1 });
  });

  test("gauges are bounded as well; the remaining readings are combined as sum, minimum or maximum", async () => {
    const registry = registryOf();
    const keys = Array.from({ length: 1_000 }, (_, at) => `secret-${at}*abc`);
    const feedOf = (key: string) => ({ sdk_key: key, path: "/v1", format: "json" });
    registry.gauge("GrpcEstimatedActiveStreams", () => keys.map((key) => [{ sdk_key: key }, 2]));
    registry.gauge("ConfigSpecConfirmedAgeS", () => keys.map((key, at) => [feedOf(key), at]));
    registry.gauge("ConfigSpecLcutTimestampMs", () => keys.map((key, at) => [feedOf(key), at]));
    const told = new Map(
      (await Array.fromAsync(registry.readGauges())).map(({ row, readings }) => [row.name, readings]),
    );
    const other = { sdk_key: "other", path: "other", format: "other" };
    for (const readings of told.values()) expect(readings).toHaveLength(MAX_SERIES);
    expect(told.get("GrpcEstimatedActiveStreams")?.at(-1)).toEqual([{ sdk_key: "other" }, 2 * 701]);
    expect(told.get("ConfigSpecConfirmedAgeS")?.at(-1)).toEqual([other, 999]);
    expect(told.get("ConfigSpecLcutTimestampMs")?.at(-1)).toEqual([other, 299]);
  });
});

test("requests for a key that was forgotten and came back count into the new series", async () => {
  const registry = registryOf();
  const keys = new KeyTags();
  keys.knownBy(() => true);
  const sdkKey = parseSdkKey("secret-comes-and-goes") as SdkKey;
  const codings = { acceptEncoding: "none", contentEncoding: "identity" };
  const answered = {
    sdkKey,
    path: "/v1",
    status: 404,
    ...codings,
    lcut: 0,
    payloadType: undefined,
    specBytes: 0,
    delta: undefined,
  };
  const logger = { log: () => {} };
  const { http } = createTelemetry({ logger, registry, keys, clock: new FakeClock(), preload: [] });
  const measured = (count: number) => ({ count, sumMs: count, buckets: [count], samples: [1] });
  const client = { sdk_type: "js", sdk_version: "1", client_service: "unknown" };
  const merge = (count: number) => {
    const byClient = [{ client, measured: measured(count) }];
    http.merge([{ request: answered, measured: measured(count), byClient }]);
  };
  merge(1);
  const series = () => seriesOf(registry, "HttpServerRequestFailed");
  registry.forgetKey(String(series()[0]?.tags["sdk_key"]), () => true);
  merge(2);
  const shown = series().filter(({ tags }) => tags["sdk_key"]?.startsWith("secret-com"));
  expect(shown.map(({ count }) => count)).toEqual([2]);
  const pushed = (await takeMeasurements(registry, "4.1")).flatMap((each) =>
    each.kind === "count" ? each.value : [],
  );
  expect(sum(pushed)).toBe(3);
});

test("a new lcut replaces the last one in the same series", () => {
  const registry = registryOf();
  for (let lcut = 1; lcut <= 1_000; lcut++)
    registry.count("ConfigSpecStoreGotData", {
      sdk_key: "secret-1*abc",
      path: "/v1",
      source: "upstream",
      lcut: `${lcut}`,
    });
  expect(
    seriesOf(registry, "ConfigSpecStoreGotData").map(({ tags, count }) => [tags["lcut"], count]),
  ).toEqual([["1000", 1_000]]);
});

test("exported latencies are a uniform sample", () => {
  const series = registryOf().series(NAME, tagsOf("unknown", "/"));
  const picked = Array.from({ length: 200 }, () => {
    for (let ms = 0; ms < 2_000; ms++) series.record(ms);
    const { count = 0, samples = [] } = series.drain() ?? {};
    expect([count, samples.length]).toEqual([2_000, 100]);
    return samples;
  }).flat();
  // 20,000 samples in 20 groups: within five standard errors of 1,000 each.
  expect(picked.filter((ms) => ms < 100).length).toBeWithin(845, 1_155);
  expect(picked.filter((ms) => ms >= 1_900).length).toBeWithin(845, 1_155);
});

test("each latency is in the first bucket whose upper bound it does not exceed", () => {
  const series = registryOf().series(NAME, tagsOf("unknown", "/"));
  for (const ms of [0, 0.1, 0.11, 1, 60_000, 60_001]) series.record(ms);
  expect([...(series.buckets ?? [])]).toEqual([2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
  expect(series.count).toBe(6);
  expect(series.sumMs).toBeCloseTo(120_002.21);
});
