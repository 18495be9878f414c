import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../common/random.ts";
import { body, status } from "../upstream/upstream.ts";
import type { Fault, FaultScope } from "../upstream/upstream-faults.ts";
import { type Answer, answer, jsonAnswer, type UpstreamRequest } from "../upstream/upstream-request.ts";
import { CHAOS_FEEDS, type ChaosFeed, type ChaosFleet, type ChaosRelay, specPath } from "./chaos-fleet.ts";

/** The place of a fault. Two faults of a round are in different places. */
export type FaultPlace = "upstream" | "redis" | "relay";

export interface ChaosFault {
  readonly name: string;
  readonly place: FaultPlace;
  /** Number of parts that the fleet is split into: relays that cannot reach Redis cannot share their requests. */
  readonly parts?: "one apart" | "all apart";
  /** True if no request reaches upstream, so that none can be counted. */
  readonly isUpstreamAway?: boolean;
  readonly begin: (fleet: ChaosFleet, random: Random) => Promise<BegunFault>;
}

export interface BegunFault {
  /** The random parameters. */
  readonly detail: string;
  /** Resolves when everything works as before. */
  readonly end: () => Promise<void>;
  /** The only affected relay: the others and the server keep working. */
  readonly onlyHits?: ChaosRelay;
}

const anyRelay = (fleet: ChaosFleet, random: Random): ChaosRelay => {
  const relay = fleet.relays[random.below(fleet.relays.length)];
  if (relay === undefined) throw new Error("a fleet without relays");
  return relay;
};

type LinkName = "upstreamLink" | "redisLink";

/** A fault of the connection between one relay and its server. */
function linkFault(
  name: string,
  link: LinkName,
  begin: (proxy: ChaosRelay[LinkName]) => void | Promise<void>,
): Pick<ChaosFault, "name" | "place" | "begin"> {
  return {
    name,
    place: link === "redisLink" ? "redis" : "upstream",
    begin: async (fleet, random) => {
      const relay = anyRelay(fleet, random);
      await begin(relay[link]);
      return { detail: `of ${relay.name}`, end: () => relay[link].heal(), onlyHits: relay };
    },
  };
}

/** The same fault for all relays. */
function linksFault(
  name: string,
  link: LinkName,
  begin: (proxy: ChaosRelay[LinkName]) => void,
): Pick<ChaosFault, "name" | "place" | "begin"> {
  return {
    name,
    place: link === "redisLink" ? "redis" : "upstream",
    begin: async (fleet) => {
      for (const relay of fleet.relays) begin(relay[link]);
      const end = async () => void (await Promise.all(fleet.relays.map((relay) => relay[link].heal())));
      return { detail: "of all relays", end };
    },
  };
}

const pathsOf = (feeds: readonly ChaosFeed[]): FaultScope => {
  const paths = new Set(feeds.map(specPath));
  return { when: ({ path }) => paths.has(path) };
};

/** Upstream sends wrong responses, for all feeds or for one. `lastsMs` is how long the last wrong response has an effect. */
function answerFault(
  name: string,
  choose: (random: Random) => { readonly fault: Fault; readonly delayMs?: number; readonly lastsMs?: number },
): ChaosFault {
  return {
    name,
    place: "upstream",
    begin: async (fleet, random) => {
      const feeds = random.oneIn(2) ? CHAOS_FEEDS : [random.pick(CHAOS_FEEDS)];
      const { fault, delayMs, lastsMs = delayMs ?? 0 } = choose(random);
      const scope = { ...pathsOf(feeds), ...(delayMs !== undefined && { delayMs }) };
      const behave = fleet.upstream.misbehave(fault, scope);
      const end = async () => {
        behave();
        await sleep(lastsMs);
      };
      return { detail: feeds.length === 1 ? `for ${feeds[0]?.name}` : "for all feeds", end };
    },
  };
}

const RETRY_AFTER_S = 2;

const GARBAGE: readonly [Fault, ...Fault[]] = [
  body("not JSON at all"),
  body('{"has_updates":true,"time":9999999999999,"feature_gates":['),
  body('{"has_updates":true,"time":"yesterday"}'),
  body(Buffer.from([0x1f, 0x8b, 0, 1, 2, 3, 4]), { "content-encoding": "gzip" }),
  body("<html>a login page</html>", { "content-type": "text/html" }),
  body(""),
];

/** The largest payload takes longer than the time limit of a small command, and longer than an interval. */
const SLOW_LINK = { bytesPerS: 300_000, latencyMs: 50 };

/** A part of upstream that is behind the others responds with its version, or that it has nothing newer. */
export const upstreamBehind: ChaosFault = {
  name: "upstream older",
  place: "upstream",
  begin: async (fleet, random) => {
    const saysAll = random.oneIn(2);
    const older = new Map(CHAOS_FEEDS.map((feed) => [specPath(feed), fleet.previous(feed)] as const));
    const edit = (right: Answer, { path, query }: UpstreamRequest): Answer => {
      const version = older.get(path);
      if (version === undefined) return right;
      const headers = { "x-since-time": String(version.lcut) };
      if (!saysAll && Number(query.get("sinceTime")) >= version.lcut)
        return jsonAnswer({ has_updates: false }, headers);
      return answer(200, version.text, { ...headers, "content-type": "application/json" });
    };
    const behave = fleet.upstream.misbehave({ kind: "edit", edit });
    return { detail: saysAll ? "in full" : "as no update", end: async () => behave() };
  },
};

const UPSTREAM_FAULTS: readonly ChaosFault[] = [
  linkFault("upstream cut off from one relay", "upstreamLink", (link) => link.cut()),
  linkFault("upstream refuses one relay's connections", "upstreamLink", (link) => link.refuse()),
  linkFault("slow link of one relay to upstream", "upstreamLink", (link) => link.throttle(SLOW_LINK)),
  { ...linksFault("upstream cut off", "upstreamLink", (link) => link.cut()), isUpstreamAway: true },
  linksFault("slow links to upstream", "upstreamLink", (link) => link.throttle(SLOW_LINK)),
  {
    name: "upstream killed",
    place: "upstream",
    isUpstreamAway: true,
    begin: async ({ upstream }) => {
      await upstream.stop();
      return { detail: "", end: () => upstream.restart() };
    },
  },
  answerFault("upstream slow", (random) => ({ fault: { kind: "none" }, delayMs: 500 + random.below(1_500) })),
  answerFault("upstream 401", () => ({ fault: status(401, "Unauthorized") })),
  answerFault("upstream 403", () => ({ fault: status(403, "Forbidden") })),
  answerFault("upstream 429", () => ({
    fault: status(429, "", { "retry-after": String(RETRY_AFTER_S) }),
    lastsMs: RETRY_AFTER_S * 1_000,
  })),
  answerFault("upstream 500", (random) => ({ fault: status(random.oneIn(2) ? 500 : 503) })),
  answerFault("upstream garbage", (random) => ({ fault: random.pick(GARBAGE) })),
  upstreamBehind,
  answerFault("upstream cuts bodies", (random) => ({
    fault: { kind: "cut", framing: random.oneIn(2) ? "length" : "chunked", afterBytes: 10 },
  })),
];

/** Redis rejects writes, by its configuration or as a replica without a master. */
const readOnly = (name: string, on: readonly string[], off: readonly string[]): ChaosFault => ({
  name,
  place: "redis",
  parts: "all apart",
  begin: async ({ redis }) => {
    await redis.cli(...on);
    return { detail: "", end: async () => void (await redis.cli(...off)) };
  },
});

const REDIS_FAULTS: readonly ChaosFault[] = [
  {
    name: "Redis killed",
    place: "redis",
    parts: "all apart",
    begin: async ({ redis }) => {
      await redis.kill();
      return { detail: "keeps its data", end: () => redis.restart() };
    },
  },
  {
    name: "Redis killed and empty",
    place: "redis",
    parts: "all apart",
    begin: async (fleet) => {
      const { redis } = fleet;
      await redis.kill();
      await redis.loseData();
      fleet.redisEpoch++;
      return { detail: "loses its data", end: () => redis.restart() };
    },
  },
  {
    name: "Redis hangs",
    place: "redis",
    parts: "all apart",
    begin: async ({ redis }) => {
      redis.hang();
      return { detail: "", end: async () => redis.goOn() };
    },
  },
  readOnly(
    "Redis without replicas to write to",
    ["CONFIG", "SET", "min-replicas-to-write", "1"],
    ["CONFIG", "SET", "min-replicas-to-write", "0"],
  ),
  // Nothing listens on port 1.
  readOnly("Redis a read-only replica", ["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
  { ...linkFault("Redis cut off from one relay", "redisLink", (link) => link.cut()), parts: "one apart" },
  {
    ...linkFault("Redis refuses one relay's connections", "redisLink", (link) => link.refuse()),
    parts: "one apart",
  },
  linkFault("slow link of one relay to Redis", "redisLink", (link) => link.throttle(SLOW_LINK)),
  linksFault("slow links to Redis", "redisLink", (link) => link.throttle(SLOW_LINK)),
];

const PAUSE_INTERVALS = 2;

const RELAY_FAULTS: readonly ChaosFault[] = [
  {
    name: "relay paused",
    place: "relay",
    begin: async (fleet, random) => {
      const relay = anyRelay(fleet, random);
      relay.pause();
      const over = sleep(PAUSE_INTERVALS * fleet.intervalMs).then(() => relay.goOn());
      return { detail: relay.name, end: () => over };
    },
  },
];

/** Kills a relay and starts another process in its place, while other faults continue. */
export const relayKilled = (start: (relay: ChaosRelay) => Promise<void>): ChaosFault => ({
  name: "relay killed",
  place: "relay",
  begin: async (fleet, random) => {
    const relay = anyRelay(fleet, random);
    const downMs = 200 + random.below(1_000);
    await relay.kill();
    const started = sleep(downMs).then(() => start(relay));
    started.catch(() => undefined);
    return { detail: `${relay.name} for ${downMs} ms`, end: () => started };
  },
});

export const chaosFaults = (startRelay: (relay: ChaosRelay) => Promise<void>): readonly ChaosFault[] => [
  ...UPSTREAM_FAULTS,
  ...REDIS_FAULTS,
  ...RELAY_FAULTS,
  relayKilled(startRelay),
];
