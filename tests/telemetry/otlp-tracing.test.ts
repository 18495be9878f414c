import { afterAll, describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import {
  ask,
  PROTOCOLS,
  startKnownUpstream,
  startOtlpReceiver,
  startOtlpRelay,
} from "../support/telemetry/otlp-relay.ts";
import { treesIn, treesWith } from "../support/telemetry/span-tree.ts";
import { specV1 } from "../support/upstream/payloads.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-traces-9876";
const GET = "GET /v1/download_config_specs";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE_ID}-${CLIENT_SPAN}-01`;
const TRACES_ALONE = ["--otlp-tracing"];
const PATIENCE = { withinMs: 15_000 };

afterAll(deleteFolders);

const parentsIn = (upstream: Upstream, path: RegExp) =>
  upstream.requests.filter((each) => path.test(each.path)).map(({ headers }) => headers["traceparent"]);

for (const protocol of PROTOCOLS) {
  test(`--otlp-tracing over ${protocol} records a cache miss and the polls after it`, async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver(protocol);
    await using relay = await startOtlpRelay({
      upstream,
      protocol,
      endpoint: receiver.url,
      args: TRACES_ALONE,
    });
    await ask(relay, KEY);
    const [first] = await treesWith(receiver, "cache miss");
    const [poll] = await treesWith(receiver, "poll");
    expect(String(first)).toBe(`cache miss(refresh(${GET} prepare))`);
    expect(String(poll)).toBe(`poll(refresh(${GET}))`);
    const { attributes, resource, parentSpanId, kind, scope } = first?.roots[0] ?? {};
    expect(attributes).toMatchObject({
      path: "/v1/download_config_specs",
      format: "json",
      priority: "cache_miss",
      outcome: "fresh",
    });
    expect([kind, parentSpanId, scope]).toEqual(["server", "", "statsig-forward-proxy"]);
    expect(resource).toMatchObject({ "service.name": "statsig-forward-proxy" });
    expect(first?.named(GET)).toMatchObject({ kind: "client", isError: false });
    expect(poll?.named(GET)?.attributes).toMatchObject({ since_time: 1_000, outcome: "no_update" });
    expect(parentsIn(upstream, /download/).slice(0, 2)).toEqual(
      [first, poll].map((tree) => `00-${tree?.named(GET)?.traceId}-${tree?.named(GET)?.spanId}-01`),
    );
    const all = JSON.stringify(receiver.received, (_, value) => (typeof value === "bigint" ? 0 : value));
    expect(all).toContain("secret-of-");
    expect(all).not.toContain(KEY);
  });
}

describe("--otlp-tracing", () => {
  test("records many concurrent feeds in a trace each", async () => {
    await using upstream = await startUpstream();
    upstream.misbehave({ kind: "none" }, { delayMs: 10 });
    const keys = Array.from({ length: 60 }, (_, at) => `secret-${at}-of-many`);
    for (const key of keys) upstream.publish(key, "v1", specV1({ lcut: 1_000 }));
    await using receiver = await startOtlpReceiver("http/protobuf");
    const folder = newFolder();
    await using relay = await startOtlpRelay({
      upstream,
      endpoint: receiver.url,
      cache: "local",
      args: [...TRACES_ALONE, "--max-in-flight", "3", "--local-cache-path", folder],
      pollIntervalS: 60,
    });
    await Promise.all(keys.map((key) => ask(relay, key)));
    // A write may outlast its refresh, and while upstream is slow the backup is read as well.
    const whole = /^cache miss\(refresh\(GET \S+ prepare backup write\)( backup read( prepare)?)?\)$/;
    const trees = await eventually(() => {
      const found = treesIn(receiver);
      expect(found).toHaveLength(keys.length);
      for (const tree of found) expect(String(tree)).toMatch(whole);
      return found;
    }, PATIENCE);
    for (const tree of trees) {
      const sdkKeys = tree.spans
        .filter(({ name }) => name !== "prepare")
        .map(({ attributes }) => attributes["sdk_key"]);
      expect(new Set(sdkKeys).size).toBe(1);
    }
    expect(new Set(trees.map(({ roots }) => roots[0]?.attributes["sdk_key"])).size).toBe(keys.length);
    for (const key of keys) {
      const [traceparent = ""] = parentsIn(upstream, new RegExp(`/${key}\\.json`));
      const fetched = trees.find((tree) => traceparent.includes(tree.named(GET)?.spanId ?? "none"));
      expect(traceparent).toContain(fetched?.named(GET)?.traceId ?? "none");
    }
  });

  test("continues a client's trace: the relay's spans are its children and the parents of upstream's", async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver("http/json");
    await using relay = await startOtlpRelay({
      upstream,
      endpoint: receiver.url,
      protocol: "http/json",
      args: TRACES_ALONE,
    });
    using client = new GrpcClient(relay.grpcUrl);
    await client.getConfigSpec({ sdkKey: KEY, version: 1 }, { traceparent: TRACEPARENT, tracestate: "a=b" });
    const [first] = await treesWith(receiver, "cache miss");
    expect(first?.roots[0]).toMatchObject({
      traceId: TRACE_ID,
      parentSpanId: CLIENT_SPAN,
      traceState: "a=b",
    });
    const [{ traceparent, tracestate } = {}] = upstream.requests.map(({ headers }) => headers);
    expect(traceparent).toBe(`00-${TRACE_ID}-${first?.named(GET)?.spanId}-01`);
    expect(tracestate).toBe("a=b");
    const polls = await treesWith(receiver, "poll", 2);
    for (const poll of polls) expect(poll.spans[0]?.traceId).not.toBe(TRACE_ID);
  });

  test("follows a client's decision not to sample: upstream gets the trace headers, the collector gets no spans", async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver("http/protobuf");
    await using relay = await startOtlpRelay({ upstream, endpoint: receiver.url, args: TRACES_ALONE });
    const traceparent = TRACEPARENT.replace(/01$/, "00");
    await fetch(`${relay.httpUrl}/v1/download_config_specs/${KEY}.json`, { headers: { traceparent } });
    await treesWith(receiver, "poll");
    expect(receiver.spans.map(({ traceId }) => traceId)).not.toContain(TRACE_ID);
    expect(parentsIn(upstream, /download/)[0]).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-00$`));
  });
});
