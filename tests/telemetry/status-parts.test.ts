import { afterAll, describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import type { StatusReport } from "../../src/telemetry/status/schema.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { describeWith } from "../support/common/needs.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { Authority } from "../support/relay/pki.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";

afterAll(deleteFolders);

describe("/status.json", () => {
  test("shows path, size and failures of the local backup", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const folder = newFolder();
    const options = { upstream, cache: "local", args: ["--local-cache-path", folder] } as const;
    await using managed = await startManagedRelay(options);
    await ask(managed.relay, KEY);
    const report = await reported(managed, (each) => {
      expect(each.local).toMatchObject({ path: folder, state: "ok", behind_feeds: 0, lag_s: 0 });
    });
    expect(report.local?.bytes).toBeGreaterThan(1_000);
    await rm(folder, { recursive: true });
    await writeFile(folder, "no folder");
    publishKey(upstream, KEY, 1);
    const failing = await reported(managed, (each) => {
      expect(each.local).toMatchObject({ state: "failing", behind_feeds: 1, bytes: null });
    });
    expect(problemsOf(failing)).toContainEqual(["local_failing", "Reads or writes of the local backup fail"]);
  });

  test("does not say that there is no config if upstream rejects the only SDK key after an outage", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream });
    await ask(managed.relay, KEY);
    const recover = upstream.misbehave(status(500));
    await reported(managed, (each) => expect(each.upstream.state).toBe("failing"));
    recover();
    upstream.misbehave(status(401));
    const report = await reported(managed, (each) =>
      expect(problemsOf(each).map(([kind]) => kind)).toContain("keys_unauthorized"),
    );
    expect(problemsOf(report)).toHaveLength(1);
    expect((await ask(managed.relay, KEY)).status).toBe(200);
  });

  test("shows how many log events are queued, and since when they are delayed", async () => {
    await using upstream = await startUpstream();
    const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
    await using managed = await startManagedRelay({ upstream, env });
    publishKey(upstream, KEY);
    const send = (count: number) =>
      fetch(`${managed.relay.httpUrl}/v1/log_event`, {
        method: "POST",
        headers: { "statsig-api-key": KEY },
        body: JSON.stringify({ events: Array.from({ length: count }, () => ({ eventName: "bought" })) }),
      });
    await send(3);
    await reported(managed, (each) => expect(each.events).toMatchObject({ forwarded: 3, events: 0 }));
    upstream.misbehave(status(500));
    await send(2);
    const report = await reported(managed, (each) => expect(each.events.state).toBe("delayed"));
    expect(report.events).toMatchObject({ durable: false, events: 2, accepted: 5, dropped: 0 });
    expect(report.events.bytes).toBeGreaterThan(20);
    expect(report.events.last_error?.detail).toContain("500");
    // A short delay is not a problem yet.
    expect(report.problems.map(({ kind }) => kind)).not.toContain("events_delayed");
  });
});

describeWith("redis-server")("/status.json of relays with Redis", () => {
  test("shows how far Redis is behind, and since when it is down", async () => {
    const user = { name: "relay", password: "password-0123456789" };
    await using redis = await RedisServer.start({ user });
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const env = { REDIS_URL: `redis://relay:${user.password}@127.0.0.1:${redis.port}` };
    await using first = await startManagedRelay({ upstream, cache: "redis", env });
    await ask(first.relay, KEY);
    const written = await reported(first, (each) => {
      expect(each.redis).toMatchObject({ state: "ok", behind_feeds: 0, lag_s: 0 });
      expect(each.redis?.last_write_at).toBeString();
    });
    expect(written.redis?.address).toBe(`127.0.0.1:${redis.port}/0`);
    await redis.kill();
    const down = await reported(first, (each) => expect(each.redis?.state).toBe("down"));
    expect(problemsOf(down)).toEqual([["redis_down", "Redis is unavailable"]]);
    expect(JSON.stringify(down)).not.toContain(user.password);
    await redis.restart();
    await reported(first, (each) => expect(each.state).toBe("ok"));
  });

  test("counts the feeds that Redis does not have while it rejects writes", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    await using managed = await startManagedRelay({ upstream, cache: "redis", args: ["-r", "60"], env });
    await ask(managed.relay, KEY);
    await reported(managed, (each) => expect(each.redis?.behind_feeds).toBe(0));
    await redis.cli("CONFIG", "SET", "min-replicas-to-write", "1");
    publishKey(upstream, KEY, 1);
    await reported(managed, (each) => expect(each.redis?.state).toBe("refuses_writes"));
    const behind = await reported(managed, (each) => {
      expect(each.redis?.behind_feeds).toBe(1);
      expect(each.redis?.lag_s).toBeGreaterThan(1);
    });
    expect(behind.redis?.last_error?.detail).toBeString();
    await redis.cli("CONFIG", "SET", "min-replicas-to-write", "0");
    await reported(managed, (each) =>
      expect(each.redis).toMatchObject({ state: "ok", behind_feeds: 0, lag_s: 0 }),
    );
  });
});

describeWith("openssl")("/status.json of a relay with TLS", () => {
  test("shows when the certificate expires, warns two weeks before, and reports invalid files", async () => {
    using authority = new Authority();
    const { certPath, keyPath } = authority.issue({ validDays: [-1, 5] });
    const paths = ["--x509-server-cert-path", certPath, "--x509-server-key-path", keyPath];
    const ports = ["--https-port", "0", "--grpcs-port", "0"];
    await using managed = await startManagedRelay({ args: [...paths, ...ports] });
    const { certificate, problems } = await managed.status();
    const leftMs = Date.parse(certificate?.expires_at ?? "") - Date.now();
    expect(leftMs / 86_400_000).toBeWithin(4.9, 5.1);
    expect(problems.map(({ kind, severity }) => [kind, severity])).toEqual([
      ["certificate_expires", "warning"],
    ]);
    await writeFile(certPath, "no certificate");
    await reported(managed, (each) => expect(each.certificate?.refused?.detail).toBeString());
  });
});

describe("/status.json: the limit of streams", () => {
  test("is a problem while gRPC health is NOT_SERVING because of it", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-streams-near-max");
    await using managed = await startManagedRelay({ upstream, args: ["-g", "10"] });
    using client = new GrpcClient(managed.relay.grpcUrl);
    const open = async () => {
      const stream = client.streamConfigSpec({ sdkKey, version: 2 });
      await stream.next();
      return stream;
    };
    for (let number = 0; number < 9; number++) await open();
    const nearMax = ({ problems }: StatusReport) =>
      problems.filter(({ kind }) => kind === "streams_near_max");
    const counted = (count: number) => reported(managed, (each) => expect(each.traffic.streams).toBe(count));
    expect(nearMax(await counted(9))).toEqual([]);
    const last = await open();
    const ten = await counted(10);
    expect(ten.state).toBe("degraded");
    expect(nearMax(ten)).toMatchObject([
      {
        text: "gRPC health is NOT_SERVING: 10 of at most 10 streams are open",
        detail: "add a relay, or raise --grpc-max-concurrent-streams",
      },
    ]);
    last.cancel();
    await reported(managed, (each) => expect(each.state).toBe("ok"));
  });

  test("of 0 is no problem", async () => {
    await using managed = await startManagedRelay({ args: ["-g", "0"] });
    expect((await managed.status()).problems).toEqual([]);
  });
});
