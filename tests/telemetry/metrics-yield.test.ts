import { expect, test } from "bun:test";
import { parseSdkKey } from "../../src/access/sdk-key.ts";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { toTags } from "../../src/telemetry/metrics/tags.ts";
import { takeMeasurements } from "../../src/telemetry/push/measurement.ts";

/** Counts the turns of the event loop that other work gets in the meantime. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  await work();
  isOver = true;
  return turns;
}

test("draining many series yields to the event loop and loses nothing", async () => {
  const registry = new MetricRegistry({ maxSeries: 10_000, keepsSamples: true });
  for (let at = 0; at < 2_000; at++)
    registry.time("HttpDataProviderNoData", { sdk_key: `k${at}`, path: "/v1" }, 1);
  let taken = 0;
  const turns = await turnsDuring(async () => {
    for (const { kind, name } of await takeMeasurements(registry, "4.1"))
      if (kind === "count" && name.endsWith("NoData.count")) taken++;
  });
  expect(taken).toBe(2_000);
  expect(turns).toBeGreaterThan(5);
});

test("measurements of a key that is forgotten during a drain are exported once", async () => {
  const registry = new MetricRegistry({ maxSeries: 10_000, keepsSamples: true });
  for (let at = 0; at < 1_000; at++)
    registry.time("HttpDataProviderNoData", { sdk_key: `k${at}`, path: "/v1" }, 1);
  const taking = takeMeasurements(registry, "4.1");
  for (const key of ["k0", "k500", "k999"]) registry.forgetKey(key, () => true);
  const exported = [...(await taking), ...(await takeMeasurements(registry, "4.1"))].flatMap((each) =>
    each.kind === "count" ? each.value : [],
  );
  expect(exported.reduce((sum, count) => sum + count)).toBe(1_000);
});

test("gauges are read in separate turns of the event loop; one that throws is skipped", async () => {
  const registry = new MetricRegistry({ maxSeries: 1_000, keepsSamples: false });
  registry.gauge("SdkKeysHeld", () => [[{}, 1]]);
  registry.gauge("Ready", () => {
    throw new Error("not now");
  });
  registry.gauge("RequestsInFlight", () => Promise.reject(new Error("not now")));
  registry.gauge("GrpcStreamsAllowed", () => [[{}, 0]]);
  let names: readonly string[] = [];
  const turns = await turnsDuring(async () => {
    names = (await Array.fromAsync(registry.readGauges())).map(({ row }) => row.name);
  });
  expect(names).toEqual(["SdkKeysHeld", "GrpcStreamsAllowed"]);
  expect(turns).toBeGreaterThan(3);
});

test("the tags of a feed are cached", () => {
  const sdkKey = parseSdkKey("secret-tagged-0123456789");
  if (sdkKey === undefined) throw new Error("no key");
  const feed = { sdkKey, version: "v2", format: "json" } as const;
  expect(toTags(feed)).toBe(toTags(feed));
  expect(toTags({ ...feed })).toEqual(toTags(feed));
});
