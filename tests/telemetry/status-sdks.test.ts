import { describe, expect, test } from "bun:test";
import { SdkCounts } from "../../src/serving/sdk-counts.ts";
import { SdkTable } from "../../src/telemetry/status/sdks.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import { reported } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";

const headersOf = (headers: Record<string, string>) => new Headers(headers);
const coreOf = (version: string) =>
  headersOf({ "statsig-sdk-type": "statsig-server-core-node", "statsig-sdk-version": version });

describe("the SDKs in /status.json", () => {
  test("are the real ones, with their versions, over HTTP and gRPC", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream });
    const { httpUrl, grpcUrl } = managed.relay;
    await using core = await startCoreSdk({ sdkKey: KEY, httpUrl });
    await using streaming = await startCoreSdk({ sdkKey: KEY, httpUrl, grpcUrl });
    await using legacy = await startLegacySdk({ sdkKey: KEY, httpUrl });
    const { sdks } = await reported(managed, ({ sdks: seen }) => {
      expect(seen.some(({ protocols }) => protocols.includes("grpc"))).toBe(true);
      expect(seen.filter(({ language }) => language === "Node.js").length).toBeGreaterThanOrEqual(2);
    });
    for (const { version, requests, requests_5_min: recent, last_seen_at: seen } of sdks) {
      expect(version).toMatch(/^\d+\.\d+/);
      expect(recent).toBe(requests);
      expect(Date.parse(seen ?? "")).toBeWithin(Date.now() - 60_000, Date.now() + 1_000);
    }
    expect([core, streaming, legacy]).toHaveLength(3);
  }, 60_000);

  test("are named by the User-Agent of a client that is no SDK; probes and failures are not counted", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream });
    await ask(managed.relay, KEY, { "user-agent": "python-requests/2.32.0 extra" });
    await ask(managed.relay, "secret-unknown", { "user-agent": "attacker/1.0" });
    await fetch(`${managed.relay.httpUrl}/v1/health`, { headers: { "user-agent": "kube-probe/1.30" } });
    await ask(managed.relay, KEY, { "statsig-sdk-type": "<script>", "user-agent": "secret-abc/1.0" });
    const { sdks } = await reported(managed, ({ sdks: seen }) => expect(seen).toHaveLength(2));
    const seen = sdks.map(({ type, version, language, requests }) => ({ type, version, language, requests }));
    expect(seen).toContainEqual({
      type: "python-requests",
      version: "2.32.0",
      language: "Python",
      requests: 1,
    });
    expect(seen).toContainEqual({ type: "other", version: null, language: null, requests: 1 });
  });
});

describe("SDKs counted in a thread", () => {
  test("are all counted up to a limit, and estimated from a sample beyond it", () => {
    const counts = new SdkCounts();
    for (let left = 200; left > 0; left--) counts.add(coreOf("1.0.0"), "http");
    expect(counts.take()).toEqual([
      { type: "statsig-server-core-node", version: "1.0.0", protocol: "http", count: 200 },
    ]);
    expect(counts.take()).toEqual([]);
    for (let left = 16_200; left > 0; left--) counts.add(coreOf("1.0.0"), "http");
    expect(counts.take()).toMatchObject([{ count: 16_200 }]);
  });

  test("have a limit of names, beyond which they are others", () => {
    const counts = new SdkCounts();
    for (let at = 0; at < 150; at++) counts.add(coreOf(`1.0.${at}`), "grpc");
    const taken = counts.take();
    expect(taken).toHaveLength(101);
    expect(taken.find(({ type }) => type === "other")).toMatchObject({ version: "", count: 50 });
  });
});

describe("the table of SDKs", () => {
  const sdk = (type: string, count: number) => ({ type, version: "1.0.0", protocol: "http" as const, count });

  test("counts the last five minutes, and forgets an SDK after a day", async () => {
    const clock = new FakeClock();
    const table = new SdkTable(clock);
    table.merge([sdk("py-server", 5)]);
    await clock.advance(4 * 60_000);
    table.merge([{ ...sdk("py-server", 2), protocol: "grpc" }]);
    expect(table.read()).toMatchObject([
      { requests: 7, requests_5_min: 7, language: "Python", protocols: ["grpc", "http"] },
    ]);
    await clock.advance(2 * 60_000);
    expect(table.read()).toMatchObject([{ requests: 7, requests_5_min: 2 }]);
    await clock.advance(24 * 3_600_000);
    expect(table.read()).toEqual([]);
  });

  test("has 50 rows and one of others; an SDK that was not seen for ten minutes makes room", async () => {
    const clock = new FakeClock();
    const table = new SdkTable(clock);
    table.merge(Array.from({ length: 80 }, (_, at) => sdk(`made-up-${at}`, 1)));
    expect(table.read()).toHaveLength(51);
    expect(table.read()[0]).toMatchObject({ type: "other", requests: 30 });
    await clock.advance(11 * 60_000);
    table.merge([sdk("go-sdk", 3)]);
    expect(table.read()).toHaveLength(51);
    expect(table.read()[0]).toMatchObject({ type: "go-sdk", language: "Go" });
  });
});
