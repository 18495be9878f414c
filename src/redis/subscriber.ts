import type { Redis } from "ioredis";
import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import type { Round, Supervisor } from "../platform/supervisor.ts";
import { openRedis } from "./client.ts";
import { RedisFailure, toRedisFailure } from "./errors.ts";
import { RECONNECT_BACKOFF, withTimeLimit } from "./link.ts";
import type { RedisAddress, RedisHost, RedisOptions } from "./options.ts";
import type { RedisPermissions } from "./permissions.ts";

/** A subscription that was lost without a sound is noticed after so long. */
const RENEW_EVERY_MS = 5_000;

/** A user that may not subscribe is not tried as often as a Redis that is away. */
const DENIED_RETRY_MS = 30_000;

/** A Cluster names the right node at once; more than a few redirects in a row mean that it is being rebuilt. */
const MAX_REDIRECTS = 5;

interface SubscriberOptions {
  readonly redis: RedisOptions;
  readonly permissions: RedisPermissions;
  readonly channel: string;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onMessage: (message: string) => void;
}

/**
 * Listens to one channel on a connection of its own, and subscribes anew for ever. On a Cluster it is a shard
 * channel, heard only on the nodes that its slot is on: any node is asked, and its redirect followed.
 */
export class Subscriber implements AsyncDisposable {
  readonly #options: SubscriberOptions;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #isListening = false;
  #tries = 0;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    this.#running = options.supervisor.loop("redis_subscription", this.#ending.signal, this.#rounds());
  }

  get isListening(): boolean {
    return this.#isListening;
  }

  /** Each call listens until the connection ends, and waits where that was for nothing. */
  #rounds(): Round {
    const { signal } = this.#ending;
    let redirect: RedisHost | undefined;
    let redirects = 0;
    let failures = 0;
    return async (worked) => {
      const ending = await this.#listen(redirect, worked);
      this.#isListening = false;
      redirect = redirects < MAX_REDIRECTS ? ending.redirect : undefined;
      redirects = redirect === undefined ? 0 : redirects + 1;
      if (ending.listened) failures = 0;
      if (redirect === undefined) {
        const pauseMs = ending.isDenied
          ? DENIED_RETRY_MS
          : backoffMs({ attempt: failures++, ...RECONNECT_BACKOFF });
        await this.#options.clock.sleep(pauseMs, signal).catch(() => undefined);
      }
    };
  }

  async #listen(redirect: RedisHost | undefined, worked: () => void): Promise<Ending> {
    const { redis, onMessage } = this.#options;
    const { address, sharded } = this.#target(redirect);
    const client = openRedis(address, redis, { kind: "commands", retryDelayMs: () => null });
    client.on(sharded ? "smessage" : "message", (_channel: string, message: string) => onMessage(message));
    const gone = goneSignalOf(client);
    const end = () => client.disconnect();
    this.#ending.signal.addEventListener("abort", end);
    try {
      await withTimeLimit(readinessOf(client, gone), this.#openingLimitMs, this.#options.clock);
      worked();
      return await this.#keepSubscribed(client, sharded, gone);
    } catch (error) {
      const redirect = sharded ? redirectIn(error, address) : undefined;
      const isDenied = toRedisFailure(error).denied !== undefined;
      return { listened: this.#isListening, redirect, isDenied };
    } finally {
      this.#ending.signal.removeEventListener("abort", end);
      client.disconnect();
    }
  }

  /** Until the connection fails. To subscribe again changes nothing, and fails where Redis is no longer there. */
  async #keepSubscribed(client: Redis, sharded: boolean, gone: AbortSignal): Promise<never> {
    const { channel, clock, permissions } = this.#options;
    for (;;) {
      const subscribed = (sharded ? client.ssubscribe(channel) : client.subscribe(channel)).catch(
        (error: unknown) => {
          const failure = toRedisFailure(error);
          // Only the error of the library says where a redirect leads to.
          throw failure.denied === undefined ? error : failure;
        },
      );
      await permissions.watch(sharded ? "SSUBSCRIBE" : "SUBSCRIBE", [channel], subscribed);
      this.#isListening = true;
      await clock.sleep(RENEW_EVERY_MS, gone);
    }
  }

  /** The library connects to a Sentinel and its master one after the other. */
  get #openingLimitMs(): number {
    const { connectTimeoutMs, commandTimeoutMs } = this.#options.redis;
    return 2 * (connectTimeoutMs + commandTimeoutMs);
  }

  #target(redirect: RedisHost | undefined): {
    readonly address: SingleOrSentinel;
    readonly sharded: boolean;
  } {
    const { address } = this.#options.redis;
    if (address.kind !== "cluster") return { address, sharded: false };
    const node = redirect ?? address.nodes[this.#tries++ % address.nodes.length];
    if (node === undefined) throw new RangeError("a Redis Cluster without nodes");
    return { address: { kind: "single", ...node, db: 0 }, sharded: true };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }
}

interface Ending {
  readonly listened: boolean;
  readonly redirect: RedisHost | undefined;
  /** The Redis user may not subscribe. */
  readonly isDenied: boolean;
}

type SingleOrSentinel = Exclude<RedisAddress, { kind: "cluster" }>;

function readinessOf(client: Redis, gone: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    client.once("ready", () => resolve());
    gone.addEventListener("abort", () => reject(gone.reason), { once: true });
  });
}

/** Aborted when the connection is gone, or of no more use. */
function goneSignalOf(client: Redis): AbortSignal {
  const gone = new AbortController();
  client.on("error", (error: unknown) => gone.abort(error));
  client.once("end", () => gone.abort(new RedisFailure("unreachable", "connection closed")));
  // A shard channel whose slot goes elsewhere is taken away without having been asked.
  client.once("moved", () => gone.abort(new RedisFailure("unreachable", "the channel is on another node")));
  return gone.signal;
}

/** `MOVED 1234 host:port`; without a host it is the node that was asked, at another port. */
function redirectIn(error: unknown, asked: SingleOrSentinel): RedisHost | undefined {
  if (toRedisFailure(error).code !== "MOVED" || asked.kind !== "single") return undefined;
  const [, host, port] = /^MOVED \d+ (.*):(\d{1,5})$/.exec((error as Error).message) ?? [];
  return port === undefined ? undefined : { host: host || asked.host, port: Number(port) };
}
