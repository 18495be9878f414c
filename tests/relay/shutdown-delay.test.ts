import { describe, expect, test } from "bun:test";
import { status as code } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually, within } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-delayed";
/** Longer than any test waits, so that what ends it is the test. */
const LONG = ["--shutdown-delay-in-s", "600"];

async function started(args: readonly string[]) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  publishKey(upstream, KEY);
  const managed = stack.use(await startManagedRelay({ upstream, args }));
  const { relay } = managed;
  const client = stack.use(new GrpcClient(relay.grpcUrl));
  const owned = stack.move();
  return {
    ...{ upstream, managed, relay, client },
    readiness: async () => {
      const response = await fetch(`${relay.httpUrl}/v1/ready`, { headers: { connection: "close" } });
      return [response.status, await response.text()] as const;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe("--shutdown-delay-in-s", () => {
  test("after SIGTERM every probe says so at once, and everything is served until the time is over", async () => {
    await using setup = await started(LONG);
    const { relay, client, upstream } = setup;
    using watch = client.watchHealth();
    using stream = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    expect([(await watch.next()).status, (await stream.next()).lastUpdated]).toEqual([
      "SERVING",
      publishKey(upstream, KEY).lcut,
    ]);
    relay.signal("SIGTERM");
    expect((await watch.next()).status).toBe("NOT_SERVING");
    expect(await client.checkHealth("readiness")).toBe("NOT_SERVING");
    expect(await setup.readiness()).toEqual([503, expect.stringContaining("draining")]);
    expect((await setup.managed.get("/readyz")).status).toBe(503);
    expect((await setup.managed.get("/healthz")).status).toBe(200);
    await eventually(() =>
      expect(relay.output()).toContain("stopping signal=SIGTERM delay_s=600 grace_s=10"),
    );

    // Over connections that are open, and over new ones.
    const next = publishKey(upstream, KEY, 1);
    expect((await stream.next()).lastUpdated).toBe(next.lcut);
    using other = new GrpcClient(relay.grpcUrl);
    expect(await other.checkHealth()).toBe("NOT_SERVING");
    expect((await other.getConfigSpec({ sdkKey: KEY, version: 2 })).message.lastUpdated).toBe(next.lcut);
    const fetched = await fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json`);
    expect(((await fetched.json()) as { time: number }).time).toBe(next.lcut);

    relay.signal("SIGTERM");
    expect(await stream.status()).toMatchObject({ code: code.UNAVAILABLE });
    expect(await watch.status()).toMatchObject({ code: code.UNAVAILABLE });
    expect(await within(relay.exited(), 10_000, "exit")).toBe(0);
  }, 30_000);

  test("draining begins by itself when the time is over", async () => {
    await using setup = await started(["--shutdown-delay-in-s", "2"]);
    using stream = setup.client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    await stream.next();
    const began = performance.now();
    setup.relay.signal("SIGTERM");
    expect(await stream.status(10_000)).toMatchObject({ code: code.UNAVAILABLE });
    expect(performance.now() - began).toBeGreaterThan(1_900);
    expect(await within(setup.relay.exited(), 10_000, "exit")).toBe(0);
  }, 30_000);

  test("a second signal ends the time, and a third one exits at once", async () => {
    await using setup = await started([...LONG, "--shutdown-grace-in-s", "600"]);
    const { relay, upstream, readiness } = setup;
    publishKey(upstream, "secret-hanging");
    upstream.misbehave({ kind: "hang" });
    const cut = fetch(`${relay.httpUrl}/v2/download_config_specs/secret-hanging.json`).catch(() => "cut");
    await eventually(() => expect(upstream.count(/secret-hanging/)).toBeGreaterThan(0));
    relay.signal("SIGTERM");
    await eventually(async () => expect((await readiness())[0]).toBe(503));
    relay.signal("SIGINT");
    await eventually(() => expect(readiness()).rejects.toThrow());
    relay.signal("SIGTERM");
    expect(await within(relay.exited(), 15_000, "exit")).toBe(1);
    expect(await cut).toBe("cut");
  }, 30_000);

  test("without it, health turns NOT_SERVING before streams end", async () => {
    await using setup = await started([]);
    using watch = setup.client.watchHealth();
    using stream = setup.client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    await Promise.all([watch.next(), stream.next()]);
    const order: string[] = [];
    const seen = [
      watch.next().then(({ status }) => order.push(status)),
      stream.status().then(({ code: ended }) => order.push(`stream ended ${ended}`)),
      watch.status().then(({ code: ended }) => order.push(`watch ended ${ended}`)),
    ];
    setup.relay.signal("SIGTERM");
    await Promise.all(seen);
    expect(order[0]).toBe("NOT_SERVING");
    expect(order.toSorted()).toEqual(["NOT_SERVING", "stream ended 14", "watch ended 14"]);
    expect(await within(setup.relay.exited(), 10_000, "exit")).toBe(0);
  }, 30_000);

  test("can be changed by a reload, also while the relay is not ready any more", async () => {
    await using upstream = await startUpstream();
    await using reloaded = await startReloadedRelay(upstream, {});
    const { relay } = reloaded;
    expect(await reloaded.reload({ "shutdown-delay-in-s": 600 })).toContain("changed=shutdown-delay-in-s");
    relay.signal("SIGTERM");
    await eventually(() => expect(relay.output()).toContain("stopping signal=SIGTERM delay_s=600"));
    expect(await reloaded.reload({ "grpc-max-concurrent-streams": 7 })).toContain("configuration reloaded");
    relay.signal("SIGTERM");
    expect(await within(relay.exited(), 10_000, "exit")).toBe(0);
  }, 30_000);
});
