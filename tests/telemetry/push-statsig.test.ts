import { describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { decodeForwarded, type ForwardedBatch } from "../support/log-events/event-relay.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-monitoring-0123456789";
const NAME = "statsig.forward_proxy";
const PUSH_MS = "200";
const PATIENCE = { withinMs: 15_000 };

interface Logged {
  readonly eventName: string;
  readonly value: number;
  readonly user: { readonly userID: string; readonly customIDs: Readonly<Record<string, string>> };
  readonly metadata: Readonly<Record<string, string>>;
}

/** Starts a relay that sends metrics to `upstream`, which records the requests. */
const start = (upstream: Upstream, { args = [], env = {}, ...options }: RelayOptions = {}) =>
  startRelayProcess({
    upstream,
    mode: "http",
    ...options,
    args: ["--statsig-logging", ...args],
    env: {
      STATSIG_SERVER_SDK_KEY: KEY,
      LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
      DATADOG_MAX_BATCH_TIME_MS: PUSH_MS,
      ...env,
    },
  });

const requestsOf = (upstream: Upstream): ForwardedBatch[] =>
  upstream.requests.filter(({ path }) => path === "/v1/log_event").map(decodeForwarded);

const loggedBy = (upstream: Upstream, eventName?: string): Logged[] =>
  requestsOf(upstream)
    .flatMap(({ events }) => events as Logged[])
    .filter((event) => eventName === undefined || event.eventName === eventName);

const sumOf = (events: readonly Logged[]) => events.reduce((sum, { value }) => sum + value, 0);
const linesOf = (relay: RelayProcess, text: string) => relay.output().split(text).length - 1;
const isLogEvent = { when: ({ path }: { readonly path: string }) => path === "/v1/log_event" };

async function askFor(relay: RelayProcess, sdkKey: string, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const response = await fetch(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
    await response.arrayBuffer();
  }
}

describe("--statsig-logging", () => {
  test("sends each measurement as an event with name, value, tags and user ID", async () => {
    await using upstream = await startUpstream();
    const { sdkKey, lcut } = publishKey(upstream, "secret-client-0123456789");
    const args = [
      "--statsig-logging-tags",
      "env:ENV_NAME,team:TEAM",
      "--statsig-logging-tags=zone:NO_SUCH:A",
    ];
    const env = { HOSTNAME: "pod-7", ENV_NAME: "prod", TEAM: "" };
    await using relay = await start(upstream, { args, env });
    await askFor(relay, sdkKey, 20);
    const name = `${NAME}.HttpServerRequestSuccess`;
    await eventually(() => expect(sumOf(loggedBy(upstream, `${name}.count`))).toBe(20), PATIENCE);
    const metadata = { path: "/v2/download_config_specs/", status_code: "200" };
    const user = { userID: "pod-7", customIDs: { env: "prod", team: "", zone: "empty" } };
    for (const event of loggedBy(upstream, `${name}.count`)) {
      expect(event).toMatchObject({ user, metadata });
      expect(event.metadata["sdk_key"]).toMatch(/^secret-cli\*\w{6}$/);
    }
    const latencies = loggedBy(upstream, `${name}.latency`);
    expect(latencies.reduce((sum, { metadata: { count } }) => sum + Number(count), 0)).toBe(20);
    for (const {
      value,
      metadata: { min, max },
    } of latencies) {
      expect(value).toBeWithin(Number(min), Number(max) + 0.001);
    }
    // In milliseconds. On a busy machine some of the requests may take a second, but not all.
    const shortest = Math.min(...latencies.map(({ metadata: { min } }) => Number(min)));
    expect(shortest).toBeWithin(0, 1_000);
    const [gotData] = loggedBy(upstream, `${NAME}.ConfigSpecStoreGotData.count`);
    expect(gotData).toMatchObject({ value: 1, metadata: { lcut: String(lcut), source: "upstream" } });
    expect(loggedBy(upstream, `${NAME}.SdkKeysHeld.gauge`).at(-1)?.value).toBe(1);
    expect(relay.output()).not.toContain(KEY);
  });

  test("sends nothing but log events: no ID lists, no diagnostics, and only the relay polls, for a gate", async () => {
    await using upstream = await startUpstream();
    await using relay = await start(upstream);
    await eventually(() => expect(requestsOf(upstream).length).toBeGreaterThan(2), PATIENCE);
    const polled = `/v1/download_config_specs/${KEY}.json`;
    expect(new Set(upstream.requests.map(({ path }) => path))).toEqual(new Set(["/v1/log_event", polled]));
    for (const { request, metadata } of requestsOf(upstream)) {
      expect(request.headers).toMatchObject({ "statsig-api-key": KEY, "statsig-sdk-type": "statsig-node" });
      expect(metadata).toMatchObject({ sdkType: "statsig-node" });
    }
    for (const { eventName, user } of loggedBy(upstream)) {
      expect(eventName).toStartWith(`${NAME}.`);
      expect(user).toEqual({ userID: "statsig-forward-proxy", customIDs: { podID: "no_hostname_provided" } });
    }
    expect(await relay.stop()).toBe(0);
    expect(relay.output()).not.toMatch(/statsigSDK|\[Statsig\]/);
  });

  test("sends only gauges in an interval without requests", async () => {
    await using upstream = await startUpstream();
    // The poll for the gate is a request, too. Measurements of the start and of that poll are in some of the first pushes.
    await using _relay = await start(upstream, { pollIntervalS: 60 });
    await eventually(() => expect(upstream.count(/download_config_specs/)).toBeGreaterThan(0), PATIENCE);
    const first = requestsOf(upstream).length + 3;
    await eventually(() => expect(requestsOf(upstream).length).toBeGreaterThan(first + 4), PATIENCE);
    const sizes = requestsOf(upstream)
      .slice(first, first + 5)
      .map(({ events }) => events.length);
    expect(Math.max(...sizes)).toBeLessThan(40);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThan(5);
  });

  test("sends events that another relay forwards unchanged", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-client-0123456789");
    publishKey(upstream, KEY);
    const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
    const args = ["--log-event-flush-interval-in-ms", "50"];
    await using between = await startRelayProcess({ upstream, mode: "http", args, env });
    await using relay = await start(upstream, { env: { LOG_EVENT_STATSIG_ENDPOINT: between.httpUrl } });
    await askFor(relay, sdkKey, 10);
    const counted = () => sumOf(loggedBy(upstream, `${NAME}.HttpServerRequestSuccess.count`));
    await eventually(() => expect(counted()).toBe(10), PATIENCE);
  });
});

describe("--statsig-logging while Statsig fails", () => {
  test("logs one line when Statsig rejects events and one when it recovers, and serves requests meanwhile", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-client-0123456789");
    upstream.misbehave(status(503), isLogEvent);
    await using relay = await start(upstream);
    await eventually(() => expect(requestsOf(upstream).length).toBeGreaterThan(5), PATIENCE);
    await askFor(relay, sdkKey, 5);
    const line = 'metric export failing sink=statsig detail="Statsig answered 503"';
    expect(linesOf(relay, line)).toBe(1);
    upstream.behave();
    await eventually(
      () => expect(relay.output()).toMatch(/metric export recovered .*sink=statsig dropped=\d+ for_s=\d+/),
      PATIENCE,
    );
    await askFor(relay, sdkKey, 5);
    const before = requestsOf(upstream).length;
    await eventually(() => expect(requestsOf(upstream).length).toBeGreaterThan(before + 2), PATIENCE);
    expect([linesOf(relay, "metric export failing"), linesOf(relay, "metric export recovered")]).toEqual([
      1, 1,
    ]);
    expect(relay.output()).not.toContain(KEY);
  });

  test("starts and serves without delay while Statsig is unreachable, and prints only log lines", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-client-0123456789");
    const timed = async (env: Readonly<Record<string, string>>) => {
      const began = performance.now();
      const relay = await start(upstream, { env });
      return { relay, tookMs: performance.now() - began };
    };
    const usual = await timed({});
    await usual.relay.kill();
    const { relay, tookMs } = await timed({ LOG_EVENT_STATSIG_ENDPOINT: "http://127.0.0.1:9" });
    await using _ = relay;
    expect(tookMs).toBeLessThan(usual.tookMs + 2_500);
    await askFor(relay, sdkKey, 3);
    await eventually(() => expect(linesOf(relay, "metric export failing sink=statsig")).toBe(1), PATIENCE);
    expect(await relay.stop()).toBe(0);
    const lines = relay.output().trim().split("\n");
    expect(lines.filter((line) => !/^\d{4}-\d\d-\d\dT\S+ (INFO|WARN) /.test(line))).toEqual([]);
  });

  test("stops soon although Statsig never responds", async () => {
    await using upstream = await startUpstream();
    upstream.misbehave({ kind: "hang" }, isLogEvent);
    await using relay = await start(upstream);
    await eventually(() => expect(requestsOf(upstream).length).toBe(1), PATIENCE);
    const began = performance.now();
    expect(await relay.stop()).toBe(0);
    // It waits for 2 s. A send may take 10 s.
    expect(performance.now() - began).toBeLessThan(8_000);
  });
});

test("sends the last values when the relay stops", async () => {
  await using upstream = await startUpstream();
  const { sdkKey } = publishKey(upstream, "secret-client-0123456789");
  await using relay = await start(upstream, { env: { DATADOG_MAX_BATCH_TIME_MS: "600000" } });
  await askFor(relay, sdkKey, 7);
  expect(await relay.stop()).toBe(0);
  expect(sumOf(loggedBy(upstream, `${NAME}.HttpServerRequestSuccess.count`))).toBe(7);
});
