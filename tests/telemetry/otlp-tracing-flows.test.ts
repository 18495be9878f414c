import { afterAll, describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { expectDelta, publishVersion } from "../support/relay/backed-up-deltas.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import {
  ask,
  startKnownUpstream,
  startOtlpReceiver,
  startOtlpRelay,
} from "../support/telemetry/otlp-relay.ts";
import { treesIn, treesWith } from "../support/telemetry/span-tree.ts";
import { specV1 } from "../support/upstream/payloads.ts";
import { status } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-traces-zyxw";
const GET = "GET /v1/download_config_specs";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE_ID}-${CLIENT_SPAN}-01`;
const TRACES_ALONE = ["--otlp-tracing"];
const PATIENCE = { withinMs: 15_000 };

afterAll(deleteFolders);

describe("--otlp-tracing", () => {
  test("records upstream failures as errors without SDK keys", async () => {
    await using upstream = await startKnownUpstream(KEY);
    upstream.misbehave(status(500), { when: ({ path }) => path.includes(KEY) });
    await using receiver = await startOtlpReceiver("http/protobuf");
    await using relay = await startOtlpRelay({ upstream, endpoint: receiver.url, args: TRACES_ALONE });
    for (const key of [KEY, "secret-nobody-knows-qrst"])
      await fetch(`${relay.httpUrl}/v1/download_config_specs/${key}.json`);
    const [failed, unauthorized] = await treesWith(receiver, "cache miss", 2);
    expect(failed?.named(GET)).toMatchObject({ isError: true, message: "upstream answered 500" });
    expect(failed?.roots[0]).toMatchObject({ isError: true, attributes: { outcome: "failed" } });
    expect(unauthorized?.named(GET)).toMatchObject({ isError: true, message: "upstream answered 401" });
    expect(unauthorized?.roots[0]).toMatchObject({ attributes: { outcome: "unauthorized" } });
    await upstream.stop();
    await fetch(`${relay.httpUrl}/v1/download_config_specs/secret-another-qrst.json`);
    const [, , unreachable] = await treesWith(receiver, "cache miss", 3);
    expect(unreachable?.named(GET)?.attributes).toMatchObject({ cause: "unreachable" });
    const all = JSON.stringify(receiver.spans, (_, value) => (typeof value === "bigint" ? 0 : value));
    expect(all).not.toMatch(/zyxw|qrst/);
  });

  test("does not change what clients get: deltas, for example", async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver("http/protobuf");
    await using relay = await startOtlpRelay({ upstream, endpoint: receiver.url, args: TRACES_ALONE });
    publishVersion(upstream, KEY, 1);
    await fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json?supports_proto=true`, {
      headers: { "accept-encoding": "statsig-br" },
    });
    publishVersion(upstream, KEY, 2);
    await eventually(() => expectDelta(relay, KEY, 1, 2), PATIENCE);
  });

  test("records backup reads and writes in the trace that caused them", async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver("http/protobuf");
    const folder = newFolder();
    const started = {
      upstream,
      endpoint: receiver.url,
      cache: "local" as const,
      args: [...TRACES_ALONE, "--clear-datastore-on-unauthorized", "--local-cache-path", folder],
    };
    {
      await using relay = await startOtlpRelay(started);
      await ask(relay, KEY);
      await eventually(() => {
        const written = treesIn(receiver)[0]?.named("backup write")?.attributes;
        expect(written).toMatchObject({ source: "local", lcut: 1_000, outcome: "written" });
      }, PATIENCE);
      upstream.publish(KEY, "v1", specV1({ lcut: 2_000 }));
      await eventually(() => {
        const polls = treesIn(receiver).map(String);
        expect(polls).toContain(`poll(refresh(${GET} prepare backup write))`);
      }, PATIENCE);
      await relay.stop();
    }
    upstream.misbehave(status(500));
    await using relay = await startOtlpRelay(started);
    await ask(relay, KEY);
    await eventually(() => {
      const trees = treesIn(receiver).map(String).join("\n");
      expect(trees).toContain(`cache miss(refresh(${GET}) backup read prepare`);
    }, PATIENCE);
    upstream.behave();
    upstream.forget(KEY);
    const [removed] = await treesWith(receiver, "backup remove");
    expect(removed?.roots[0]).toMatchObject({ kind: "client", isError: false });
  });

  test("starts a trace for each request with log events and sends it to upstream", async () => {
    await using receiver = await startOtlpReceiver("http/protobuf");
    await using relay = await startEventRelay({
      args: [...TRACES_ALONE, "--log-event-flush-interval-in-ms", "100"],
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: "100" },
    });
    const events = [{ eventName: "a" }, { eventName: "b" }];
    await relay.post(KEY, { events }, { traceparent: TRACEPARENT });
    const [sent] = await treesWith(receiver, "POST /v1/log_event");
    expect(sent?.roots[0]).toMatchObject({
      kind: "client",
      parentSpanId: "",
      attributes: { events: 2, outcome: "accepted" },
    });
    const { traceId, spanId } = sent?.roots[0] ?? {};
    expect(traceId).not.toBe(TRACE_ID);
    expect(relay.forwarded()[0]?.request.headers["traceparent"]).toBe(`00-${traceId}-${spanId}-01`);
  });

  test("records refreshes of ID lists in the client's trace", async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver("http/protobuf");
    await using relay = await startOtlpRelay({ upstream, endpoint: receiver.url, args: TRACES_ALONE });
    const headers = { "statsig-api-key": KEY, traceparent: TRACEPARENT };
    await fetch(`${relay.httpUrl}/v1/get_id_lists`, { method: "POST", body: "{}", headers });
    const [first] = await treesWith(receiver, "refresh ID lists");
    expect(String(first)).toBe("refresh ID lists(POST /v1/get_id_lists)");
    expect(first?.roots[0]).toMatchObject({ traceId: TRACE_ID, parentSpanId: CLIENT_SPAN });
  });
});
