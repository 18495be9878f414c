import { expect, test } from "bun:test";
import { LineLogger } from "../../src/telemetry/logging/logger.ts";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { KeyTags } from "../../src/telemetry/metrics/tags.ts";
import { createTelemetry, type Telemetry } from "../../src/telemetry/telemetry.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const feed = feedOf("secret-one-0123456789");
const count = 7_000;

/** Emits events, and returns the counts that are not 0 and the lines at level debug. */
function record(emitTo: (telemetry: Telemetry) => void) {
  const registry = new MetricRegistry({ maxSeries: 1_000, keepsSamples: false });
  const lines: Record<string, unknown>[] = [];
  const options = { format: "json", level: "debug" } as const;
  const logger = new LineLogger((line) => lines.push(JSON.parse(line)), options);
  emitTo(createTelemetry({ logger, registry, keys: new KeyTags(), clock: new FakeClock(), preload: [] }));
  const series = [...registry.families()].flatMap((family) =>
    [...family.all()].map((each) => ({ family, each })),
  );
  const counts = series.flatMap(({ family, each }) =>
    each.count > 0 ? [[family.row.name, each.count]] : [],
  );
  return { counts: Object.fromEntries(counts), lines };
}

test.each<[metrics: readonly string[], emit: (telemetry: Telemetry, repeated: { count?: number }) => void]>([
  [
    ["LimitReached"],
    ({ limits }, by) => limits.emit({ kind: "limit_reached", limit: "max-connections", ...by }),
  ],
  [["ClientVanished"], ({ limits }, by) => limits.emit({ kind: "client_vanished", ...by })],
  [["TlsClientRefused"], ({ tls }, by) => tls.emit({ kind: "tls_client_refused", reason: "a", ...by })],
  [
    ["GrpcStreamRefused", "GrpcStreamingStreamUnauthorized"],
    ({ rpc }, by) => rpc.emit({ kind: "stream_refused", code: "permission_denied", isFull: false, ...by }),
  ],
  [
    ["GrpcStreamRefused"],
    ({ rpc }, by) => rpc.emit({ kind: "stream_refused", code: "resource_exhausted", isFull: true, ...by }),
  ],
  [
    ["GrpcStreamingStreamedInitialized"],
    ({ rpc }, by) => rpc.emit({ kind: "stream_opened", feed, openStreams: 1, ...by }),
  ],
  [
    ["GrpcStreamingStreamDisconnected"],
    ({ rpc }, by) => rpc.emit({ kind: "stream_closed", feed, openStreams: 1, ...by }),
  ],
  [
    ["GrpcStreamingStreamedResponse", "ConfigSpecServedBytes"],
    ({ rpc }, by) => rpc.emit({ kind: "stream_sent", feed, item: "spec", lcut: 7, bytes: 1, ...by }),
  ],
  [
    ["GrpcStreamingHealthcheckSent"],
    ({ rpc }, by) => rpc.emit({ kind: "stream_sent", feed, item: "no_update", lcut: 7, bytes: 0, ...by }),
  ],
])("an event that stands for several is counted as many, and its line says so: %p", (metrics, emit) => {
  const expected = (each: number) => Object.fromEntries(metrics.map((name) => [name, each]));
  const several = record((telemetry) => emit(telemetry, { count }));
  expect(several.counts).toEqual(expected(count));
  expect(several.lines).toEqual([expect.objectContaining({ count })]);
  const single = record((telemetry) => emit(telemetry, {}));
  expect(single.counts).toEqual(expected(1));
  expect(single.lines.flatMap((line) => Object.keys(line))).not.toContain("count");
});
