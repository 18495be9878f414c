import type { SdkKey } from "../../../src/access/sdk-key.ts";
import { padTo } from "../common/padding.ts";
import { RedisServer } from "../redis/redis-server.ts";
import { ThrottlingProxy } from "../redis/throttling-proxy.ts";
import { UNPREFIXED } from "../redis/unprefixed-keys.ts";
import { type RelayProcess, startRelayProcess } from "../relay/relay-process.ts";
import { specV1, specV2 } from "../upstream/payloads.ts";
import { FIRST_LCUT } from "../upstream/published-key.ts";
import type { ApiVersion } from "../upstream/published-specs.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";

/** A feed that all relays of a fleet serve, as JSON. */
export interface ChaosFeed {
  readonly name: string;
  readonly sdkKey: string;
  readonly version: ApiVersion;
  /** Size of its payload. */
  readonly bytes: number;
  /** Its key in Redis: a hash with `lcut` and `config`. */
  readonly redisKey: string;
}

const PRELOADED_KEYS = ["secret-chaos-a", "secret-chaos-b"];

/** v1 and v2 of the preloaded keys, one large enough for a slow link to matter, and a feed that only clients request. */
export const CHAOS_FEEDS: readonly [ChaosFeed, ...ChaosFeed[]] = [
  chaosFeed("secret-chaos-a", "v1", 2_000),
  chaosFeed("secret-chaos-a", "v2", 1_000_000),
  chaosFeed("secret-chaos-b", "v1", 2_000),
  chaosFeed("secret-chaos-b", "v2", 20_000),
  chaosFeed("secret-chaos-c", "v2", 20_000),
];

function chaosFeed(sdkKey: string, version: ApiVersion, bytes: number): ChaosFeed {
  const [{ name: redisKey }] = UNPREFIXED.entries({ sdkKey: sdkKey as SdkKey, version, format: "json" }, [
    "v3",
  ]);
  return { name: `${sdkKey.slice(-1)}/${version}`, sdkKey, version, bytes, redisKey };
}

export const specPath = ({ sdkKey, version }: ChaosFeed): string =>
  `/${version}/download_config_specs/${sdkKey}.json`;

/** Feed by name -> lcut. */
export type Lcuts = ReadonlyMap<string, number>;

/** One process of a relay, from its start to its end. */
export interface RelayLife {
  readonly process: RelayProcess;
  /** The oldest version that it may start with. */
  readonly floor: Lcuts;
  /** The newest version that it was seen to serve. */
  readonly served: Map<string, number>;
  /** It is being killed: no response is expected any more. */
  isEnding: boolean;
  /** It is stopped (SIGSTOP), and so does not respond. */
  isPaused: boolean;
}

export interface ChaosFleetOptions {
  readonly fleetPolling: boolean;
  readonly intervalS: number;
  readonly relays: number;
  /** The command that starts a relay; by default the program under test. */
  readonly program?: readonly string[] | undefined;
}

/** A member of the fleet: its connections stay when its process is replaced. */
export class ChaosRelay implements AsyncDisposable {
  readonly name: string;
  readonly upstreamLink: ThrottlingProxy;
  readonly redisLink: ThrottlingProxy;
  readonly #options: ChaosFleetOptions;
  #life: RelayLife | undefined;
  #outputOfEnded = "";
  /** The newest version that the previous process was seen to serve. */
  servedBefore: Lcuts = new Map();

  constructor(
    name: string,
    links: { readonly upstream: ThrottlingProxy; readonly redis: ThrottlingProxy },
    options: ChaosFleetOptions,
  ) {
    this.name = name;
    this.upstreamLink = links.upstream;
    this.redisLink = links.redis;
    this.#options = options;
  }

  /** The running process; undefined if there is none. */
  get life(): RelayLife | undefined {
    return this.#life;
  }

  async start(floor: Lcuts): Promise<void> {
    const { fleetPolling, intervalS, program } = this.#options;
    const process = await startRelayProcess({
      ...(program !== undefined && { program }),
      cache: "redis",
      mode: "http",
      pollIntervalS: intervalS,
      args: [
        ...(fleetPolling ? ["--fleet-polling"] : []),
        ...["--preload-sdk-keys", PRELOADED_KEYS.join(",")],
        ...["--redis-leader-key-ttl", "2"],
      ],
      env: {
        REDIS_URL: `redis://127.0.0.1:${this.redisLink.port}`,
        STATSIG_ENDPOINT: `http://127.0.0.1:${this.upstreamLink.port}`,
      },
    });
    this.#life = { process, floor, served: new Map(), isEnding: false, isPaused: false };
  }

  async kill(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    life.isEnding = true;
    this.#life = undefined;
    this.servedBefore = life.served;
    await life.process.kill();
    this.#outputOfEnded += life.process.output();
  }

  pause(): void {
    if (this.#life === undefined) return;
    this.#life.isPaused = true;
    this.#life.process.signal("SIGSTOP");
  }

  goOn(): void {
    if (this.#life === undefined) return;
    this.#life.process.signal("SIGCONT");
    this.#life.isPaused = false;
  }

  /** The output of all its processes. */
  output(): string {
    return this.#outputOfEnded + (this.#life?.process.output() ?? "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

export interface ChaosVersion {
  readonly lcut: number;
  readonly text: string;
}

/** Relays that share a Redis and an upstream, each over connections of its own. */
export class ChaosFleet implements AsyncDisposable {
  readonly upstream: Upstream;
  readonly redis: RedisServer;
  readonly relays: readonly ChaosRelay[];
  readonly intervalMs: number;
  /** Incremented each time Redis loses its data. */
  redisEpoch = 0;
  readonly #versions = new Map<string, ChaosVersion>();
  readonly #previous = new Map<string, ChaosVersion>();
  readonly #owned = new AsyncDisposableStack();

  private constructor(
    upstream: Upstream,
    redis: RedisServer,
    relays: readonly ChaosRelay[],
    intervalMs: number,
  ) {
    this.upstream = upstream;
    this.redis = redis;
    this.relays = relays;
    this.intervalMs = intervalMs;
  }

  static async start(options: ChaosFleetOptions): Promise<ChaosFleet> {
    await using owned = new AsyncDisposableStack();
    const upstream = owned.use(await startUpstream());
    const redis = owned.use(await RedisServer.start({ isDurable: true }));
    const relays: ChaosRelay[] = [];
    for (let at = 0; at < options.relays; at++) {
      const links = {
        upstream: owned.use(await ThrottlingProxy.start(Number(new URL(upstream.url).port))),
        redis: owned.use(await ThrottlingProxy.start(redis.port)),
      };
      relays.push(owned.use(new ChaosRelay(`relay ${at}`, links, options)));
    }
    const fleet = new ChaosFleet(upstream, redis, relays, options.intervalS * 1_000);
    for (const feed of CHAOS_FEEDS) fleet.publish(feed);
    await Promise.all(relays.map((relay) => relay.start(new Map())));
    fleet.#owned.use(owned.move());
    return fleet;
  }

  /** Publishes the next version. */
  publish(feed: ChaosFeed): void {
    const { sdkKey, version, bytes } = feed;
    const previous = this.#versions.get(feed.name);
    if (previous !== undefined) this.#previous.set(feed.name, previous);
    const lcut = (previous?.lcut ?? FIRST_LCUT) + 1_000;
    const options = { sdkKey, lcut, color: `color of ${lcut}` };
    const spec = version === "v1" ? specV1(options) : specV2(options);
    const text = JSON.stringify(padTo<typeof spec>(spec, bytes));
    this.#versions.set(feed.name, { lcut, text });
    this.upstream.publish(sdkKey, version, text, lcut);
  }

  /** The version that upstream has. */
  newest({ name }: ChaosFeed): ChaosVersion {
    const version = this.#versions.get(name);
    if (version === undefined) throw new Error(`nothing was published of ${name}`);
    return version;
  }

  /** The previous version of upstream, or the newest if there is none. */
  previous(feed: ChaosFeed): ChaosVersion {
    return this.#previous.get(feed.name) ?? this.newest(feed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}
