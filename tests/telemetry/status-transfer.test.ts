import { expect, test } from "bun:test";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { Transfer } from "../../src/telemetry/status/transfer.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { reported } from "../support/telemetry/status-report.ts";
import { FIRST_LCUT, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";

test("/status.json says how many bytes of config specs were sent, received and saved, over each protocol", async () => {
  await using upstream = await startUpstream();
  const key = publishKey(upstream, KEY);
  await using managed = await startManagedRelay({ upstream });
  const { relay } = managed;
  const lengths: number[] = [];
  for (const coding of ["identity", "gzip", "br"]) {
    lengths.push((await ask(relay, KEY, { "accept-encoding": coding })).body.length);
  }
  // A client that has the version costs nothing.
  await fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json?sinceTime=${FIRST_LCUT}`);
  using client = new GrpcClient(relay.grpcUrl);
  await client.getConfigSpec({ sdkKey: KEY, version: 2 });
  using stream = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
  await stream.next();
  const expected = lengths.reduce((sum, each) => sum + each, 0) + 2 * key.v2.length;
  const { traffic } = await reported(managed, (each) =>
    expect(each.traffic.config_specs.served_bytes).toBe(expected),
  );
  const { received_bytes: received, saved_bytes: saved, saved_bytes_1_h: lastHour } = traffic.config_specs;
  expect(received).toBeWithin(1, key.v2.length + 1);
  expect(saved).toBe(expected - received);
  expect(lastHour).toBe(saved);
  const text = (await managed.get("/metrics")).body.toString();
  expect(text).toContain(`statsig_forward_proxy_ConfigSpecServedBytes_count_total ${expected}`);
  expect(text).toContain(`statsig_forward_proxy_ConfigSpecReceivedBytes_count_total ${received}`);
});

test("the last hour is the last 60 minutes, and may be negative", async () => {
  const clock = new FakeClock();
  const transfer = new Transfer(new MetricRegistry({ maxSeries: 10, keepsSamples: false }), clock);
  transfer.received(100);
  expect(transfer.read()).toEqual({
    served_bytes: 0,
    received_bytes: 100,
    saved_bytes: -100,
    saved_bytes_1_h: -100,
  });
  await clock.advance(59 * 60_000);
  transfer.served(1_000);
  expect(transfer.read().saved_bytes_1_h).toBe(900);
  await clock.advance(60_000);
  expect(transfer.read().saved_bytes_1_h).toBe(1_000);
  await clock.advance(3_600_000);
  expect(transfer.read()).toMatchObject({ saved_bytes: 900, saved_bytes_1_h: 0 });
});
