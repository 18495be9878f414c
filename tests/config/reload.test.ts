import { describe, expect, test } from "bun:test";
import { status as grpcStatus } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { createUnknownKey, exhaust, KeyFile, specsOf } from "../support/relay/access.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const [ONE, TWO] = ["secret-reloaded-one-0123", "secret-reloaded-two-0123"];

async function upstreamWith(...keys: readonly string[]): Promise<Upstream> {
  const upstream = await startUpstream();
  for (const key of keys) publishKey(upstream, key);
  return upstream;
}

const reasonsOf = async (url: string): Promise<string> => (await fetch(`${url}/v1/ready`)).text();

describe("a SIGHUP applies without interrupting streams", () => {
  test("a new polling interval, immediately", async () => {
    await using upstream = await upstreamWith(ONE);
    await using reloaded = await startReloadedRelay(upstream, { "polling-interval-in-s": 3_600 });
    const { relay } = reloaded;
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: ONE });
    const first = await stream.next();
    const logged = await reloaded.reload({ "polling-interval-in-s": 1 });
    expect(logged).toMatch(/INFO +configuration reloaded file=FILE changed=polling-interval-in-s\n/);
    publishKey(upstream, ONE, 1);
    expect((await stream.next()).lastUpdated).toBeGreaterThan(first.lastUpdated);
    await reloaded.reload({ "polling-interval-in-s": 3_600 });
    // A poll that has begun before ends with the earlier version.
    await Bun.sleep(300);
    publishKey(upstream, ONE, 2);
    await Bun.sleep(1_500);
    expect(stream.waiting).toBe(0);
  });

  test("a new spacing of polls, also for polls that wait for the old one", async () => {
    await using upstream = await upstreamWith(ONE);
    const settings = { "polling-interval-in-s": 1, "background-poll-item-spacing-ms": 3_600_000 };
    await using reloaded = await startReloadedRelay(upstream, settings);
    using client = new GrpcClient(reloaded.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: ONE });
    await stream.next();
    // The first poll starts at once; later ones wait for an hour.
    await eventually(() => expect(upstream.requests.length).toBe(2));
    const { lcut } = publishKey(upstream, ONE, 1);
    await Bun.sleep(1_500);
    expect(stream.waiting).toBe(0);
    await reloaded.reload({ ...settings, "background-poll-item-spacing-ms": 0 });
    expect((await stream.next()).lastUpdated).toBe(lcut);
  });

  test("new allowed keys: streams of a removed key end, others stay open", async () => {
    await using upstream = await upstreamWith(ONE, TWO);
    const others = { "polling-interval-in-s": 1 };
    await using reloaded = await startReloadedRelay(upstream, { "allowed-sdk-keys": [ONE, TWO], ...others });
    const { relay } = reloaded;
    using client = new GrpcClient(relay.grpcUrl);
    using ended = client.streamConfigSpec({ sdkKey: ONE });
    using stays = client.streamConfigSpec({ sdkKey: TWO });
    await Promise.all([ended.next(), stays.next()]);
    const logged = await reloaded.reload({ "allowed-sdk-keys": [TWO, "secret-later"], ...others });
    expect(logged).toContain("changed=allowed-sdk-keys");
    expect(logged).not.toContain(TWO);
    expect(await ended.status()).toMatchObject({ code: grpcStatus.PERMISSION_DENIED });
    expect((await specsOf(relay, ONE)).status).toBe(401);
    publishKey(upstream, TWO, 1);
    expect((await stays.next()).lastUpdated).toBeGreaterThan(0);
  });

  test("new preloaded keys: an added key is fetched without a request, and one that upstream rejects does not make the relay unready", async () => {
    await using upstream = await upstreamWith(ONE);
    await using reloaded = await startReloadedRelay(upstream, { "preload-sdk-keys": [ONE] });
    const { relay } = reloaded;
    await eventually(async () => expect(await reasonsOf(relay.httpUrl)).toBe("{}"));
    await reloaded.reload({ "preload-sdk-keys": [ONE, TWO] });
    await eventually(() => expect(upstream.count(new RegExp(TWO))).toBeGreaterThan(0));
    expect(await reasonsOf(relay.httpUrl)).toBe("{}");
    publishKey(upstream, TWO);
    await reloaded.reload({ "preload-sdk-keys": [ONE, TWO], "polling-interval-in-s": 1 });
    await eventually(() => expect(relay.output().match(/config specs loaded/g)).toHaveLength(4));
    await reloaded.reload({ "preload-sdk-keys": [ONE] });
    expect((await specsOf(relay, TWO)).status).toBe(200);
  });

  test("new preloaded keys, which readiness waits for instead of the old ones", async () => {
    await using upstream = await upstreamWith();
    await using reloaded = await startReloadedRelay(upstream, { "preload-sdk-keys": [ONE] });
    const { relay } = reloaded;
    expect(await reasonsOf(relay.httpUrl)).toContain("1 of 1 preloaded keys have no data yet: secret-rel");
    await reloaded.reload({ "preload-sdk-keys": [TWO], "polling-interval-in-s": 1 });
    expect(await reasonsOf(relay.httpUrl)).toContain("1 of 1 preloaded keys have no data yet: secret-rel");
    publishKey(upstream, TWO);
    await eventually(async () => expect(await reasonsOf(relay.httpUrl)).toBe("{}"));
  });

  test("files of allowed and preloaded keys together: a key that is new in both is fetched immediately", async () => {
    await using upstream = await upstreamWith(ONE, TWO);
    using file = new KeyFile([ONE]);
    const list = `@${file.path}`;
    const settings = { "preload-sdk-keys": list, "allowed-sdk-keys": list, "polling-interval-in-s": 3_600 };
    await using reloaded = await startReloadedRelay(upstream, settings);
    const { relay } = reloaded;
    await eventually(async () => expect(await reasonsOf(relay.httpUrl)).toBe("{}"));
    file.write(TWO);
    const logged = await reloaded.hangUp();
    expect(logged).toContain("changed=preload-sdk-keys");
    // With an interval of an hour, a first poll that was rejected would not be repeated.
    await eventually(() => expect(upstream.count(new RegExp(TWO))).toBe(2));
    expect((await specsOf(relay, ONE)).status).toBe(401);
    await eventually(() => expect(relay.output()).toContain("allowed SDK keys reloaded keys=1 removed=1"));
    await Bun.sleep(1_500);
    expect(relay.output().match(/allowed SDK keys reloaded/g)).toHaveLength(1);
  });

  test("new limits", async () => {
    await using upstream = await upstreamWith(ONE);
    await using reloaded = await startReloadedRelay(upstream, {
      "grpc-max-concurrent-streams": 1,
      "maximum-concurrent-sdk-keys": 2,
      "unknown-key-rate-per-s": 1,
    });
    const { relay } = reloaded;
    using client = new GrpcClient(relay.grpcUrl);
    using first = client.streamConfigSpec({ sdkKey: ONE });
    await first.next();
    using refused = client.streamConfigSpec({ sdkKey: ONE });
    expect(await refused.status()).toMatchObject({ code: grpcStatus.RESOURCE_EXHAUSTED });
    await exhaust(relay);
    const logged = await reloaded.reload({
      "grpc-max-concurrent-streams": 2,
      "maximum-concurrent-sdk-keys": 2,
      "unknown-key-rate-per-s": 10_000,
    });
    expect(logged).toContain("changed=grpc-max-concurrent-streams,unknown-key-rate-per-s\n");
    using second = client.streamConfigSpec({ sdkKey: ONE });
    await second.next();
    await Bun.sleep(10);
    expect((await specsOf(relay, createUnknownKey())).status).toBe(401);
    expect(first.waiting).toBe(0);
  });

  test("a maximum staleness", async () => {
    await using upstream = await upstreamWith(ONE);
    const settings = { "preload-sdk-keys": ONE, "polling-interval-in-s": 1 };
    await using reloaded = await startReloadedRelay(upstream, settings);
    const { relay } = reloaded;
    await eventually(async () => expect((await specsOf(relay, ONE)).status).toBe(200));
    upstream.misbehave({ kind: "reset" });
    await Bun.sleep(1_500);
    await reloaded.reload({ ...settings, "max-staleness-in-s": 2 });
    await eventually(async () =>
      expect(await reasonsOf(relay.httpUrl)).toContain("not confirmed by upstream"),
    );
    await reloaded.reload(settings);
    expect(await reasonsOf(relay.httpUrl)).not.toContain("not confirmed");
  });

  test("the log level, and the line of the reload is always logged", async () => {
    await using upstream = await upstreamWith();
    await using reloaded = await startReloadedRelay(upstream, { "log-level": "info" });
    const { relay } = reloaded;
    const health = () => fetch(`${relay.httpUrl}/v1/health`);
    expect(await reloaded.reload({ "log-level": "error" })).toContain("configuration reloaded");
    expect(await reloaded.reload({ "debug-logging": true })).toContain("changed=log-level,debug-logging");
    await health();
    await eventually(() => expect(relay.output()).toContain("http request method=GET route=/v1/health"));
    await reloaded.reload({ "log-format": "json" });
    const logged = await reloaded.reload({ "log-format": "text", "shutdown-grace-in-s": 3 });
    expect(logged).toStartWith('{"time":');
    await health();
    expect(relay.output().match(/http request method=GET route=\/v1\/health/g)).toHaveLength(1);
    relay.signal("SIGTERM");
    expect(await relay.exited()).toBe(0);
    expect(relay.output()).toContain("stopping signal=SIGTERM grace_s=3");
  });
});

describe("several SIGHUPs in a row", () => {
  test("apply only the contents of the file", async () => {
    await using upstream = await upstreamWith(ONE);
    await using reloaded = await startReloadedRelay(upstream);
    using client = new GrpcClient(reloaded.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: ONE });
    await stream.next();
    for (let times = 0; times < 30; times++) {
      reloaded.relay.signal("SIGHUP");
      await Bun.sleep(2);
    }
    await reloaded.hangUp();
    expect(reloaded.relay.output()).not.toMatch(/changed=[^n]|can't be used|invalid|unexpected/);
    await reloaded.reload({ "polling-interval-in-s": 1 });
    publishKey(upstream, ONE, 1);
    await stream.next();
  });
});
