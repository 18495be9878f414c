import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { maskSdkKey, type SdkKey } from "../../src/access/sdk-key.ts";
import type { HandledRequest, RequestCell } from "../../src/http/observer.ts";
import { RequestCounts } from "../../src/serving/request-counts.ts";
import { formatPrometheus } from "../../src/telemetry/metrics/prometheus.ts";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { KeyTags } from "../../src/telemetry/metrics/tags.ts";
import { type Measurement, takeMeasurements } from "../../src/telemetry/push/measurement.ts";
import { createTelemetry } from "../../src/telemetry/telemetry.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { sdkKeyOf } from "../support/specs/snapshots.ts";

const KEYS = ["secret-one-0123456789", "secret-two-0123456789", "secret-new-0123456789"].map(sdkKeyOf);
const MAX_SERIES = 1_000;

/** One relay: the registry of its control plane, and telemetry that writes into it. */
function startTelemetry({ isPushing = true, knows = (key: SdkKey) => KEYS.includes(key) } = {}) {
  const registry = new MetricRegistry({ maxSeries: MAX_SERIES, keepsSamples: isPushing });
  const keys = new KeyTags();
  keys.knownBy(knows);
  const logger = { log: () => {} };
  const { http } = createTelemetry({ logger, registry, keys, clock: new FakeClock(), preload: [] });
  return { registry, http };
}

/** A thread whose counts arrive at the telemetry as they do in a relay. */
function startThread(
  { http }: Pick<ReturnType<typeof startTelemetry>, "http">,
  { isPushing = true, holds = (key: SdkKey) => KEYS.includes(key) } = {},
) {
  const counts = new RequestCounts({ isPushing, maxSeries: MAX_SERIES, holds });
  const send = () => {
    const taken = structuredClone(counts.take());
    http.merge(taken);
    return taken;
  };
  return { counts, send };
}

const requestOf = (changed: Partial<HandledRequest> = {}): HandledRequest => ({
  ...{ sdkKey: KEYS[0], path: "/v2/download_config_specs", status: 200, lcut: 7 },
  ...{ acceptEncoding: "gzip", contentEncoding: "gzip", payloadType: "full", specBytes: 0, delta: undefined },
  ...changed,
});

const clientOf = (service: string) =>
  new Headers({ "statsig-sdk-type": "node", "statsig-sdk-version": "1.0.0", "x-request-service": service });

const requests = fc.record({
  sdkKey: fc.constantFrom(...KEYS, sdkKeyOf("secret-unknown-0123456789"), undefined),
  path: fc.constantFrom("/v1/download_config_specs", "/v1/log_event"),
  status: fc.constantFrom(200, 304, 404),
  acceptEncoding: fc.constantFrom("none", "gzip+br"),
  contentEncoding: fc.constantFrom("identity", "br"),
  lcut: fc.constantFrom(0, 7, 8),
  specBytes: fc.constantFrom(0, 9),
  payloadType: fc.constantFrom("full" as const, "no_update" as const, undefined),
  delta: fc.constantFrom({ result: "delta" as const, savedBytes: 700 }, undefined),
});

const records = fc.record({
  thread: fc.nat(2),
  request: requests,
  client: fc.constantFrom("a", "b", "not a service"),
  /** Whole numbers, so that their sum does not depend on the order. */
  ms: fc.nat(70_000),
});

const actions = fc.oneof(
  { weight: 20, arbitrary: records },
  { weight: 2, arbitrary: fc.record({ send: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ forget: fc.constantFrom(...KEYS) }) },
  { weight: 1, arbitrary: fc.constant("push" as const) },
);
type Action = typeof actions extends fc.Arbitrary<infer T> ? T : never;

/** Cells as prepared responses cache them: some by attributes, and kept for any time. */
class CellCache {
  readonly #cells = new Map<string, RequestCell>();

  find(meter: { cell(request: HandledRequest): RequestCell }, request: HandledRequest, owner: number) {
    const id = `${owner} ${JSON.stringify(request)}`;
    const cell = this.#cells.get(id) ?? meter.cell(request);
    if (request.status !== 404) this.#cells.set(id, cell);
    return cell;
  }
}

const toText = async (registry: MetricRegistry) => (await formatPrometheus(registry)).split("\n").sort();

/** Returns the sums of pushed counts, and of the latencies that the samples stand for, by tags. */
function sumPushed(pushed: readonly Measurement[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const each of pushed) {
    if (each.kind === "gauge" || !each.name.includes("HttpServerRequest")) continue;
    const { lcut: _, ...tags } = each.tags;
    const id = `${each.name} ${JSON.stringify(tags)}`;
    sums[id] = (sums[id] ?? 0) + (each.kind === "count" ? each.value : each.seen);
  }
  return sums;
}

const total = (sums: Record<string, number>) => Object.values(sums).reduce((a, b) => a + b, 0);

describe("for any requests on three threads, whenever their counts are taken", () => {
  test.each([true, false])("the metrics are those of one thread (pushing: %p)", async (isPushing) => {
    const property = fc.asyncProperty(fc.array(actions, { maxLength: 150 }), async (all) => {
      const [one, relay] = [startTelemetry({ isPushing }), startTelemetry({ isPushing })];
      const threads = [0, 1, 2].map(() => startThread(relay, { isPushing }));
      const single = startThread(one, { isPushing });
      const cells = new CellCache();
      for (const action of all) {
        if (isRecord(action)) {
          const { thread, request, client, ms } = action;
          const meter = threads[thread]?.counts;
          if (meter !== undefined) cells.find(meter, request, thread).record(ms, clientOf(client));
          cells.find(single.counts, request, 9).record(ms, clientOf(client));
          single.send();
        } else if (action !== "push" && "send" in action) threads[action.send]?.send();
      }
      for (const thread of threads) thread.send();
      expect(await toText(relay.registry)).toEqual(await toText(one.registry));
      const pushed = await takeMeasurements(relay.registry, "4.1");
      expect(sumPushed(pushed)).toEqual(sumPushed(await takeMeasurements(one.registry, "4.1")));
    });
    await fc.assert(property, { numRuns: 60 });
  });

  test("every request is exported once, also of keys that are forgotten and come back", async () => {
    const property = fc.asyncProperty(fc.array(actions, { maxLength: 200 }), async (all) => {
      const relay = startTelemetry();
      const threads = [0, 1, 2].map(() => startThread(relay));
      const cells = new CellCache();
      let [recorded, exported] = [0, 0];
      const push = async () => {
        exported += total(sumPushed(await takeMeasurements(relay.registry, "4.1")));
      };
      for (const action of all) {
        if (action === "push") await push();
        else if ("forget" in action) relay.registry.forgetKey(maskSdkKey(action.forget), () => true);
        else if ("send" in action) threads[action.send]?.send();
        else {
          const { thread, request, client, ms } = action;
          const meter = threads[thread]?.counts;
          if (meter !== undefined)
            cells.find(meter, { ...request, delta: undefined }, thread).record(ms, clientOf(client));
          recorded++;
        }
      }
      for (const thread of threads) thread.send();
      await push();
      // Each is a count and a latency.
      expect(exported).toBe(2 * recorded);
      for (const family of relay.registry.families())
        for (const { count, buckets } of family.all())
          if (buckets !== undefined) expect(buckets.reduce((a, b) => a + b, 0)).toBe(count);
    });
    await fc.assert(property, { numRuns: 40 });
  });
});

function isRecord(action: Action): action is Extract<Action, { ms: number }> {
  return typeof action === "object" && "ms" in action;
}

describe("what crosses to the control plane", () => {
  test("is one message part per set of attributes, however many requests and cells", () => {
    const { counts, send } = startThread(startTelemetry());
    for (let at = 0; at < 1_000; at++) counts.cell(requestOf({ status: 404 })).record(1, clientOf("a"));
    const [counted, ...more] = send();
    expect(more).toEqual([]);
    expect(counted?.measured.count).toBe(1_000);
    const [{ client, measured } = { client: undefined, measured: undefined }] = counted?.byClient ?? [];
    expect(client).toEqual({ sdk_type: "node", sdk_version: "1.0.0", client_service: "a" });
    expect([measured?.count, measured?.samples.length]).toEqual([1_000, 100]);
  });

  test("is only what has changed since, and nothing of cells that were never used", () => {
    const { counts, send } = startThread(startTelemetry());
    const cell = counts.cell(requestOf());
    counts.cell(requestOf({ status: 304 }));
    cell.record(1, clientOf("a"));
    expect(send()).toHaveLength(1);
    expect(send()).toEqual([]);
    cell.record(1, clientOf("a"));
    expect(send()).toMatchObject([{ measured: { count: 1 } }]);
  });

  test("has no clients and samples if nothing is pushed", () => {
    const { counts, send } = startThread(startTelemetry({ isPushing: false }), { isPushing: false });
    counts.cell(requestOf()).record(1, clientOf("a"));
    expect(send()).toMatchObject([{ byClient: [], measured: { count: 1, samples: [] } }]);
  });

  test("is limited and complete for clients that make up keys, and they do not displace known clients", async () => {
    const relay = startTelemetry();
    const { counts, send } = startThread(relay);
    const made = 10_000;
    for (let at = 0; at < made; at++) {
      const sdkKey = sdkKeyOf(`secret-made-up-${at}-0123456789`);
      counts.cell(requestOf({ sdkKey, status: 401 })).record(1, clientOf(`service-${at}`));
    }
    counts.cell(requestOf()).record(1, clientOf("known"));
    const taken = send();
    expect(taken.length).toBeLessThan(600);
    expect(taken.flatMap(({ byClient }) => byClient).length).toBeLessThan(1_100);
    const sums = sumPushed(await takeMeasurements(relay.registry, "4.1"));
    expect(total(sums)).toBe(2 * (made + 1));
    expect(Object.keys(sums).filter((tags) => tags.includes("service-"))).toEqual([]);
    expect(Object.keys(sums).filter((tags) => tags.includes('"known"'))).toHaveLength(2);
  });

  test("has the room for keys that are not held again after each time", () => {
    const { counts, send } = startThread(startTelemetry());
    const record = () => {
      for (let at = 0; at < 400; at++) {
        const sdkKey = sdkKeyOf(`secret-made-up-${at}-0123456789`);
        counts.cell(requestOf({ sdkKey, status: 401 })).record(1, clientOf("a"));
      }
      return send().length;
    };
    const [first, second] = [record(), record()];
    expect(first).toBeGreaterThan(200);
    expect(second).toBe(first);
  });

  test("tells versions and types of payload apart, and the version of the latest request is pushed", async () => {
    const relay = startTelemetry();
    const { counts, send } = startThread(relay);
    counts.cell(requestOf()).record(1, clientOf("a"));
    counts.cell(requestOf({ payloadType: "no_update" })).record(1, clientOf("a"));
    counts.cell(requestOf({ lcut: 8 })).record(1, clientOf("a"));
    expect(send()).toHaveLength(3);
    const pushed = await takeMeasurements(relay.registry, "4.1");
    const versions = pushed.flatMap(({ kind, tags }) =>
      kind === "count" ? [[tags["response_payload_type"], tags["lcut"]]] : [],
    );
    expect(versions.sort()).toEqual([
      ["full", "8"],
      ["no_update", "7"],
    ]);
  });

  test("counts a key that the control plane knows, although the thread does not hold it", async () => {
    const relay = startTelemetry();
    const { counts, send } = startThread(relay, { holds: () => false });
    counts.cell(requestOf({ path: "/v1/log_event", status: 202 })).record(1, clientOf("a"));
    send();
    const [sums] = [sumPushed(await takeMeasurements(relay.registry, "4.1"))];
    expect(Object.keys(sums).every((tags) => /"secret-one.*"client_service":"a"/.test(tags))).toBe(true);
  });
});
