import { afterAll, beforeAll, describe, expect } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";
import {
  FULL_DEDUPLICATION,
  HEALTH_ROWS,
  NO_DEDUPLICATION,
  NO_STREAMS,
  REPLACED_ROWS,
} from "./option-effects.rows.ts";

const KEY = "secret-0123456789";
const RESOURCE_EXHAUSTED = 8;

describe("options of the original proxy take effect", () => {
  const owned = new AsyncDisposableStack();
  let upstream: Upstream;
  beforeAll(async () => {
    upstream = owned.use(await startUpstream());
    publishKey(upstream, KEY);
  });
  afterAll(() => owned.disposeAsync());

  testRows(HEALTH_ROWS, async ({ options, openStreams, health }) => {
    await using relay = await startRelayProcess({ upstream, mode: "grpc", args: options });
    using client = new GrpcClient(relay.grpcUrl);
    using streams = new DisposableStack();
    for (let opened = 0; opened < openStreams; opened++) {
      await streams.use(client.streamConfigSpec({ sdkKey: KEY, version: 2 })).next();
    }
    expect(await client.checkHealth()).toBe(health);
  });

  testRows([NO_STREAMS], async () => {
    await using relay = await startRelayProcess({ upstream, args: ["-g", "0"] });
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    expect((await stream.status()).code).toBe(RESOURCE_EXHAUSTED);
    expect((await client.getConfigSpec({ sdkKey: KEY, version: 2 })).message.spec).not.toBe("");
    expect((await fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json`)).status).toBe(200);
    expect((await fetch(`${relay.httpUrl}/v1/ready`)).status).toBe(200);
  });

  testRows([NO_DEDUPLICATION], async () => {
    const metadata = { gate: "g", gateValue: "true", ruleID: "r" };
    const exposure = { eventName: "statsig::gate_exposure", time: 1_760_000_000_000, metadata };
    for (const [limit, forwarded] of [
      ["0", 4],
      ["1", 1],
    ] as const) {
      await using events = await startEventRelay({ env: { LOG_EVENT_DEDUPE_CACHE_LIMIT: limit } });
      for (let sent = 0; sent < 2; sent++) {
        expect((await events.post(KEY, { events: [exposure, exposure] })).status).toBe(202);
      }
      expect(await events.relay.stop()).toBe(0);
      expect(events.forwarded(KEY).flatMap((batch) => batch.events)).toHaveLength(forwarded);
    }
  });

  testRows([FULL_DEDUPLICATION], async () => {
    await using events = await startEventRelay({ env: { LOG_EVENT_DEDUPE_CACHE_LIMIT: "2" } });
    const time = 1_760_000_000_000;
    for (const gate of ["first", "second", "third", "second", "first"]) {
      const exposure = { eventName: "statsig::gate_exposure", time, metadata: { gate, gateValue: "true" } };
      expect((await events.post(KEY, { events: [exposure] })).status).toBe(202);
    }
    expect(await events.relay.stop()).toBe(0);
    const forwarded = events
      .forwarded(KEY)
      .flatMap((batch) => batch.events as { metadata: { gate: string } }[]);
    expect(forwarded.map(({ metadata }) => metadata.gate)).toEqual(["first", "second", "third", "first"]);
  });

  testRows(REPLACED_ROWS, async ({ setting, given, used }) => {
    const interval = setting === "--polling-interval-in-s" ? [] : ["-p", "1"];
    const address = ["--bind-address", "127.0.0.1", "--http-port", "0"];
    const args = ["http", "disabled", ...address, ...interval, setting, given];
    await using relay = await startRelayProcess({ upstream, isBare: true, args });
    const line = `value out of range, replaced setting=${setting} given=${given} used=${used}`;
    await eventually(() => expect(relay.output()).toContain(line));
    expect((await fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json`)).status).toBe(200);
    const before = upstream.requests.length;
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(before));
  });
});
