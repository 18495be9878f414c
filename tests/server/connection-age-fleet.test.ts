import { expect, test } from "bun:test";
import { status as grpcStatus } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { LoadBalancer } from "../support/clients/load-balancers.ts";
import { TcpBalancer } from "../support/clients/tcp-balancer.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { Authority } from "../support/relay/pki.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import type { Protocol } from "../support/relay/tls-relay.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-fleet-of-two";
const CLIENTS = 20;
const AGED = ["--grpc-max-connection-age-in-s", "3", "--grpc-max-connection-age-grace-in-s", "2"];
const PATIENCE = { withinMs: 30_000 };

/** Follows a key as SDKs do: it opens a new stream when one ends, from the lcut that it has. */
class Follower implements Disposable {
  readonly #client: GrpcClient;
  readonly lcuts: number[] = [];
  #isOver = false;

  constructor(url: string) {
    this.#client = new GrpcClient(url);
    void this.#follow();
  }

  get lcut(): number {
    return this.lcuts.at(-1) ?? 0;
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#client[Symbol.dispose]();
  }

  async #follow(): Promise<void> {
    while (!this.#isOver) {
      using stream = this.#client.streamConfigSpec({ sdkKey: KEY, version: 2, sinceTime: this.lcut });
      try {
        for (;;) {
          const { spec, lastUpdated } = await stream.next(60_000);
          if (spec.includes('"has_updates":true')) this.lcuts.push(lastUpdated);
        }
      } catch {
        // It has ended.
      }
    }
  }
}

test("clients behind a load balancer of connections spread over a relay that is added, and no client misses a version", async () => {
  await using upstream = await startUpstream();
  let version = 0;
  publishKey(upstream, KEY, version);
  await using first = await startRelayProcess({ upstream, mode: "grpc", args: AGED });
  await using balancer = await TcpBalancer.start(first.grpcPort);
  using followers = new DisposableStack();
  const all = Array.from({ length: CLIENTS }, () => followers.use(new Follower(balancer.url)));
  /** Each version is the newest until every client has it. */
  const publishNext = async () => {
    const { lcut } = versionOf(KEY, version);
    await eventually(() => expect(all.map((each) => each.lcut)).toEqual(all.map(() => lcut)), PATIENCE);
    publishKey(upstream, KEY, ++version);
  };
  await publishNext();
  await publishNext();
  // While a client moves from one connection to the next, it has both.
  await eventually(() => expect(balancer.connections).toEqual([CLIENTS]), { ...PATIENCE, everyMs: 5 });

  await using second = await startRelayProcess({ upstream, mode: "grpc", args: AGED });
  balancer.add(second.grpcPort);
  await eventually(async () => {
    await publishNext();
    const [here = 0, there = 0] = balancer.connections;
    expect(Math.abs(here - there)).toBeLessThanOrEqual(CLIENTS / 5);
  }, PATIENCE);
  await publishNext();
  await publishNext();
  // All but the last one, which was only published.
  const published = Array.from({ length: version }, (_, number) => versionOf(KEY, number).lcut);
  for (const { lcuts } of all) expect(lcuts.slice(0, version)).toEqual(published);
}, 120_000);

test("without an age, they stay where they are", async () => {
  await using upstream = await startUpstream();
  publishKey(upstream, KEY);
  await using first = await startRelayProcess({ upstream, mode: "grpc" });
  await using balancer = await TcpBalancer.start(first.grpcPort);
  using followers = new DisposableStack();
  const all = Array.from({ length: CLIENTS }, () => followers.use(new Follower(balancer.url)));
  await eventually(() => expect(all.every(({ lcut }) => lcut > 0)).toBe(true), PATIENCE);
  await using second = await startRelayProcess({ upstream, mode: "grpc" });
  balancer.add(second.grpcPort);
  await Bun.sleep(4_000);
  expect(balancer.connections).toEqual([CLIENTS, 0]);
}, 60_000);

describeWith(
  "nginx",
  "haproxy",
  "openssl",
)("behind a load balancer of requests", () => {
  test.each(["nginx", "haproxy"] as const)(
    "%s moves on to new connections: no call fails, and streams end with UNAVAILABLE",
    async (kind) => {
      await using resources = new AsyncDisposableStack();
      const upstream = resources.use(await startUpstream());
      const { sdkKey } = publishKey(upstream, KEY);
      const authority = resources.use(new Authority());
      const relay = resources.use(
        await startRelayWithTls({
          ...{ upstream, server: authority.issue() },
          args: ["--enforce-tls", "false", "--grpc-max-connection-age-in-s", "1"],
        }),
      );
      const relayPort = (protocol: Protocol) => Number(new URL(relay.urlOf(protocol)).port);
      const balancer = resources.use(
        await LoadBalancer.start({ kind, transport: "plaintext", authority, relayPort }),
      );
      const client = resources.use(new GrpcClient(balancer.urlOf("grpc")));
      let isOver = false;
      let calls = 0;
      const calling = (async () => {
        for (; !isOver; calls++) await client.getConfigSpec({ sdkKey, version: 2 });
      })();
      for (let round = 0; round < 4; round++) {
        using stream = client.streamConfigSpec({ sdkKey, version: 2 });
        await stream.next();
        const { code, details } = await stream.status(20_000);
        expect([code, details]).toEqual([grpcStatus.UNAVAILABLE, expect.stringContaining("maximum age")]);
      }
      isOver = true;
      await calling;
      expect(calls).toBeGreaterThan(20);
    },
    60_000,
  );
});
