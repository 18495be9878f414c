import { expect } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Attacker } from "../support/clients/attacker.ts";
import type { AttackName } from "../support/clients/attacks.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { type Protocol, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const DURATION_MS = 2_500;
const FRAMES_PER_S = 2_000;
const SLOW_BYTES_PER_S = 2;
const MAX_GROWTH_BYTES = 60 * 1024 * 1024;
/** Connections that the relay's own clients and timers may have opened meanwhile. */
const SPARE_DESCRIPTORS = 10;
/** The time limit of a response during an attack, on a machine that may have one core for everything. */
const SLOWEST_ANSWER_MS = 2_000;

interface Case {
  readonly attack: AttackName;
  readonly protocol: Protocol;
  readonly connections: number;
  readonly perSecond: number;
  readonly durationMs: number;
}

const held = (attack: AttackName, protocols: readonly Protocol[], connections: number): Case[] =>
  protocols.map((protocol) => ({
    attack,
    protocol,
    connections,
    perSecond: SLOW_BYTES_PER_S,
    durationMs: DURATION_MS,
  }));

const flood = (attack: AttackName, protocol: Protocol = "grpc", perSecond = FRAMES_PER_S): Case => ({
  attack,
  protocol,
  connections: 1,
  perSecond,
  durationMs: DURATION_MS,
});

const CASES: readonly Case[] = [
  ...held("slow request", ["http", "https"], 200),
  ...held("slow preface", ["grpc", "grpcs"], 200),
  ...held("slow HEADERS", ["grpc", "https"], 200),
  ...held("idle", ["grpc", "http"], 2_000),
  flood("pipelining", "http"),
  flood("pipelining", "https"),
  { ...flood("rapid reset"), connections: 2 },
  // Long enough that memory kept per connection would show.
  { ...flood("rapid reset", "https"), connections: 2, durationMs: 2 * DURATION_MS },
  // The cost of these attacks is that of their responses.
  flood("late reset", "grpc", 2_000),
  flood("late reset", "grpcs", 2_000),
  flood("CONTINUATION flood"),
  flood("CONTINUATION flood", "https"),
  flood("SETTINGS flood"),
  flood("PING flood"),
  flood("WINDOW_UPDATE flood"),
  flood("header bomb", "grpc", 500),
  flood("large headers", "grpc", 500),
];

describe("other clients are served during an attack, and nothing is left after it", () => {
  let started: TlsRelay;
  let version = 0;
  beforeAll(async () => {
    started = await startTlsRelay(["--header-timeout-in-s", "2"]);
    // Memory that the runtime keeps after its first work is not a leak.
    for (let time = 0; time < 300; time++) await started.statusOf(time % 2 === 0 ? "http" : "https");
    await using warmUp = await Attacker.start({
      ...flood("PING flood"),
      url: urlOf("grpc"),
      durationMs: 500,
    });
    await warmUp.result();
  }, 60_000);
  afterAll(() => started[Symbol.asyncDispose]());

  const urlOf = (protocol: Protocol): string => started.relay.urlOf(protocol);

  /** Returns the slowest response to GETs of a cached key, sent one after the other until the attack ends. */
  const slowestAnswerMs = async (attackEnded: Promise<unknown>): Promise<number> => {
    let [slowestMs, isOver] = [0, false];
    void attackEnded.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const askedAt = performance.now();
      expect(await started.statusOf("http")).toBe(200);
      slowestMs = Math.max(slowestMs, performance.now() - askedAt);
      await sleep(20);
    }
    return slowestMs;
  };

  test.each(CASES)("$attack on the $protocol port", async ({ protocol, ...attack }) => {
    const { relay, upstream, held: key } = started;
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: key.sdkKey, version: 2 });
    await stream.next();
    const [rssBefore, descriptorsBefore] = [relay.rssBytes(), relay.openDescriptors()];

    await using attacker = await Attacker.start({ ...attack, url: urlOf(protocol) });
    const result = attacker.result();
    const slowest = slowestAnswerMs(result);
    const { lcut } = publishKey(upstream, key.sdkKey, ++version);
    expect((await stream.next()).lastUpdated).toBe(lcut);
    expect(await slowest).toBeLessThan(SLOWEST_ANSWER_MS);
    const { sent, connections, closedByServer } = await result;
    const rssAtEnd = relay.rssBytes();

    const endedAt = performance.now();
    const patience = { withinMs: 15_000, everyMs: 100 };
    await eventually(() => {
      expect(relay.openDescriptors()).toBeLessThanOrEqual(descriptorsBefore + SPARE_DESCRIPTORS);
      expect(relay.rssBytes() - rssBefore).toBeLessThan(MAX_GROWTH_BYTES);
    }, patience);
    const mb = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    const memory = [rssBefore, rssAtEnd, relay.rssBytes()].map(mb).join(", ");
    const settledMs = Math.round(performance.now() - endedAt);
    const slowestMs = Math.round(await slowest);
    console.log(
      `${attack.attack} on ${protocol}: ${sent} sent, ${closedByServer} of ${connections} connections closed; memory ${memory}, settled in ${settledMs} ms; slowest answer ${slowestMs} ms`,
    );
  });

  test("the relay shuts down cleanly: no request of an attacker is still in flight", async () => {
    expect(started.relay.output()).not.toMatch(/^\s+at .+:\d+/m);
    const stoppedAt = performance.now();
    expect(await started.relay.stop()).toBe(0);
    expect(performance.now() - stoppedAt).toBeLessThan(8_000);
  });
});
