import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import type { SpecStream } from "../support/clients/grpc-stream.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { eventually } from "../support/common/wait.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { KeyFile } from "../support/relay/access.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { type RelayOptions, runRelay } from "../support/relay/relay-process.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { masked } from "../support/telemetry/status-report.ts";
import { FIRST_LCUT, forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const THREADS = ["--serving-threads", "3"];
const KEY = "secret-many-0123456789abcdef";

/** So many that every one of three threads has some of them, but for one run in a million. */
const MANY = 48;
const each = Array.from({ length: MANY }, (_, at) => at);

async function startThreads(args: readonly string[] = [], options: RelayOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const managed = stack.use(await startManagedRelay({ upstream, ...options, args: [...THREADS, ...args] }));
  const owned = stack.move();
  return { upstream, managed, relay: managed.relay, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const lcutOf = (headers: Readonly<Record<string, unknown>>) => Number(headers["x-since-time"]);

describe("three serving threads", () => {
  let started: Awaited<ReturnType<typeof startThreads>>;
  beforeAll(async () => {
    started = await startThreads();
  });
  afterAll(() => started[Symbol.asyncDispose]());

  test("ask upstream once for a key that many clients request first at the same time", async () => {
    const { upstream, relay } = started;
    const sdkKey = "secret-first-sight-0123456789";
    publishKey(upstream, sdkKey);
    const restore = upstream.misbehave({ kind: "none" }, { ...forKey(sdkKey), delayMs: 300 });
    const answers = await Promise.all(each.map(() => ask(relay, sdkKey)));
    restore();
    expect(answers.map(({ status }) => status)).toEqual(each.map(() => 200));
    expect(upstream.count(`/v2/download_config_specs/${sdkKey}.json`)).toBe(1);
  });

  test("count every request in the metrics, at once", async () => {
    const { upstream, relay } = started;
    const sdkKey = "secret-counted-0123456789";
    publishKey(upstream, sdkKey);
    await Promise.all(each.map(() => ask(relay, sdkKey)));
    const labels = { sdk_key: masked(sdkKey) };
    expect(sumOf(await readMetrics(relay), "HttpServerRequestSuccess_count_total", labels)).toBe(MANY);
  });

  test("show each client versions in their order, and all of them the newest", async () => {
    const { upstream, relay } = started;
    publishKey(upstream, KEY);
    await ask(relay, KEY);
    using clients = new DisposableStack();
    const streams = each.slice(0, 12).map((): SpecStream => {
      return clients.use(new GrpcClient(relay.grpcUrl)).streamConfigSpec({ sdkKey: KEY });
    });
    const versions = 4;
    const follow = async (stream: SpecStream) => {
      for (let last = 0; last < FIRST_LCUT + versions * 60_000; ) {
        const lcut = Number((await stream.next(20_000)).lastUpdated);
        expect(lcut).toBeGreaterThanOrEqual(last);
        last = lcut;
      }
    };
    const following = Promise.all(streams.map(follow));
    for (let number = 1; number <= versions; number++) {
      publishKey(upstream, KEY, number);
      await eventually(async () => {
        const answers = await Promise.all(each.map(() => ask(relay, KEY)));
        const seen = new Set(answers.map(({ headers }) => lcutOf(headers)));
        expect([...seen]).toEqual([FIRST_LCUT + number * 60_000]);
      });
    }
    await following;
  }, 60_000);

  test("show the same readiness to all clients", async () => {
    const { relay } = started;
    const statuses = await Promise.all(
      each.flatMap(() =>
        ["health", "startup", "ready"].map(
          async (probe) => (await fetch(`${relay.httpUrl}/v1/${probe}`)).status,
        ),
      ),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });

  test("forward the log events of all clients, and an exposure that several of them report once", async () => {
    await using own = await startEventRelay({ args: THREADS, cache: "disabled" });
    publishKey(own.upstream, KEY);
    await ask(own.relay, KEY);
    const exposure = {
      eventName: "statsig::gate_exposure",
      user: { userID: "u" },
      metadata: { gate: "g", gateValue: "true", ruleID: "r" },
      time: 1_700_000_000_000,
    };
    await own.post(KEY, { events: [exposure], statsigMetadata: {} });
    const send = (at: number) => {
      const events = [{ eventName: `own-${at}`, time: exposure.time + at }, exposure];
      return own.post(KEY, { events, statsigMetadata: {} }, { connection: "close" });
    };
    const answers = await Promise.all(each.map(send));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(await own.relay.stop()).toBe(0);
    const names = own.forwarded(KEY).flatMap(({ events }) => events.map(nameOf));
    expect(names.toSorted()).toEqual([...each.map((at) => `own-${at}`), exposure.eventName].toSorted());
  });
});

const nameOf = (event: unknown): string => (event as { readonly eventName: string }).eventName;

describe("limits over three serving threads", () => {
  test("of connections and of streams are exact", async () => {
    const limits = ["--max-connections", "20", "--grpc-max-concurrent-streams", "10"];
    await using started = await startThreads(limits);
    const { upstream, relay, managed } = started;
    publishKey(upstream, KEY);
    await ask(relay, KEY);
    using clients = new DisposableStack();
    await eventually(async () => expect((await managed.status()).traffic.connections["http"]).toBe(0));
    const open = async () => {
      try {
        const connection = clients.use(await RawConnection.open(relay.httpUrl));
        connection.write("GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await eventually(() => expect(connection.isClosed || connection.received.length > 0).toBe(true));
        return connection.received.length > 0;
      } catch {
        return false;
      }
    };
    const served = await Promise.all(each.map(open));
    expect(served.filter((isServed) => isServed)).toHaveLength(20);

    const follow = async () => {
      const stream = clients.use(new GrpcClient(relay.grpcUrl)).streamConfigSpec({ sdkKey: KEY });
      return stream.next().then(
        () => true,
        () => false,
      );
    };
    const followed = await Promise.all(each.slice(0, 18).map(follow));
    expect(followed.filter((isOpen) => isOpen)).toHaveLength(10);
    await eventually(async () => {
      const { streams, connections } = (await managed.status()).traffic;
      expect([streams, connections["http"]]).toEqual([10, 20]);
    });
  });

  test("of SDK keys evict the key that was used least recently, on whichever thread", async () => {
    await using started = await startThreads(["-m", "3", "--unknown-key-rate-per-s", "10000"]);
    const { upstream, relay, managed } = started;
    const keys = [0, 1, 2, 3, 4].map((number) => `secret-evicted-${number}-0123456789`);
    for (const sdkKey of keys) publishKey(upstream, sdkKey);
    const [followed = "", used = "", unused = "", third = "", fourth = ""] = keys;
    using client = new GrpcClient(relay.grpcUrl);
    await client.streamConfigSpec({ sdkKey: followed }).next();
    await ask(relay, used);
    await ask(relay, unused);
    const held = async () => new Set((await managed.status()).feeds.map((feed) => feed.sdk_key));
    // The threads report once a second which keys they use.
    for (const newest of [third, fourth]) {
      await Bun.sleep(1_500);
      await ask(relay, used);
      await Bun.sleep(1_500);
      expect((await ask(relay, newest)).status).toBe(200);
      await eventually(async () =>
        expect(await held()).toEqual(new Set([followed, used, newest].map(masked))),
      );
    }
  }, 20_000);
});

describe("an operator", () => {
  test("removes a key from the allow list for all threads", async () => {
    using allowed = new KeyFile([KEY]);
    await using started = await startThreads(["--allowed-sdk-keys", `@${allowed.path}`]);
    const { upstream, relay } = started;
    publishKey(upstream, KEY);
    await Promise.all(each.map(() => ask(relay, KEY)));
    allowed.write("secret-other-0123456789");
    relay.signal("SIGHUP");
    await eventually(async () => {
      const answers = await Promise.all(each.map(() => ask(relay, KEY)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]));
    });
  });

  test("cannot start a second relay on the same ports by mistake", async () => {
    await using started = await startThreads();
    const { relay } = started;
    const ports = [
      ["http", "--http-port", relay.httpPort],
      ["grpc", "--grpc-port", relay.grpcPort],
    ] as const;
    for (const [mode, option, port] of ports) {
      const args = [
        ...THREADS,
        "--bind-address",
        "127.0.0.1",
        "--management-port",
        "0",
        option,
        String(port),
      ];
      const { exitCode, stderr } = await runRelay([...args, mode, "disabled"]);
      expect([exitCode, stderr]).toEqual([
        1,
        `error: cannot listen on ${option} ${port} of --bind-address 127.0.0.1: the port is in use\n`,
      ]);
    }
    const statuses = await Promise.all(
      each.map(async () => (await fetch(`${relay.httpUrl}/v1/health`)).status),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });

  test("stops the relay: requests in flight on all threads are answered, and all streams end", async () => {
    await using started = await startThreads();
    const { upstream, relay } = started;
    publishKey(upstream, KEY);
    await ask(relay, KEY);
    const slow = "secret-slow-0123456789";
    publishKey(upstream, slow);
    upstream.misbehave({ kind: "none" }, { ...forKey(slow), delayMs: 1_500 });
    using clients = new DisposableStack();
    const streams = each.slice(0, 12).map(() => {
      return clients.use(new GrpcClient(relay.grpcUrl)).streamConfigSpec({ sdkKey: KEY });
    });
    await Promise.all(streams.map((stream) => stream.next()));
    const ends = streams.map((stream) => stream.next(10_000).catch((error: unknown) => String(error)));
    const answers = each.map(() => ask(relay, slow));
    await eventually(() => expect(upstream.count(`/v2/download_config_specs/${slow}.json`)).toBe(1));
    await Bun.sleep(300);
    expect(await relay.stop()).toBe(0);
    expect(new Set((await Promise.all(answers)).map(({ status }) => status))).toEqual(new Set([200]));
    for (const end of await Promise.all(ends)) expect(end).toContain("shutting down");
  }, 30_000);
});
