import { expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_SAMPLES, mergeSamples } from "../../src/telemetry/metrics/samples.ts";
import { Series } from "../../src/telemetry/metrics/series.ts";

const newSeries = () => new Series({}, { timed: true, keepsSamples: true });

/** A series with `count` measurements of `ms`. */
function seriesOf(count: number, ms: number): Series {
  const series = newSeries();
  for (let at = 0; at < count; at++) series.record(ms);
  return series;
}

const sides = fc.record({ count: fc.nat(300), kept: fc.nat(120) }).map(({ count, kept }) => ({
  count,
  samples: Array.from({ length: Math.min(count, kept, MAX_SAMPLES) }, (_, at) => at),
}));

test("a merged sample has only samples of its sides, each once, and as many as there can be", () => {
  const property = fc.property(sides, sides, (one, other) => {
    const named = { ...other, samples: other.samples.map((at) => -1 - at) };
    const merged = mergeSamples(one, named);
    const all = [...one.samples, ...named.samples];
    expect(merged).toHaveLength(Math.min(all.length, MAX_SAMPLES));
    expect(new Set(merged).size).toBe(merged.length);
    expect(merged.filter((each) => !all.includes(each))).toEqual([]);
  });
  fc.assert(property);
});

test("each measurement of several threads has the same probability, however unequal the threads are", () => {
  const counts = [50, 100, 1_850];
  const kept = [0, 0, 0];
  for (let round = 0; round < 400; round++) {
    const series = newSeries();
    for (const [thread, count] of counts.entries()) series.merge(seriesOf(count, thread).measured());
    for (const thread of series.drain()?.samples ?? []) kept[thread] = (kept[thread] ?? 0) + 1;
  }
  // 40,000 samples: within five standard errors of 1,000, 2,000 and 37,000.
  expect(kept[0]).toBeWithin(840, 1_160);
  expect(kept[1]).toBeWithin(1_780, 2_220);
  expect(kept.reduce((a, b) => a + b)).toBe(40_000);
});

test("measurements after a merge have the same probability as those before it", () => {
  let after = 0;
  for (let round = 0; round < 200; round++) {
    const series = newSeries();
    series.merge(seriesOf(1_000, 1).measured());
    for (let at = 0; at < 1_000; at++) series.record(2);
    after += (series.drain()?.samples ?? []).filter((ms) => ms === 2).length;
  }
  // 20,000 samples: within five standard errors of 10,000.
  expect(after).toBeWithin(9_640, 10_360);
});
