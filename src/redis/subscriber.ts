import type { Redis } from "ioredis";
import { untilAborted } from "../platform/abort.ts";
import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import type { Round, Supervisor } from "../platform/supervisor.ts";
import type { RedisLogins } from "./auth/logins.ts";
import { openRedis } from "./client.ts";
import { RedisFailure, toRedisFailure } from "./errors.ts";
import { RECONNECT_BACKOFF, withTimeLimit } from "./link.ts";
import type { RedisAddress, RedisHost, RedisOptions } from "./options.ts";
import type { RedisPermissions } from "./permissions.ts";

/** How often the subscription is renewed, which reveals a connection that was lost silently. */
const RENEW_EVERY_MS = 5_000;

/** The interval between tries while the Redis user lacks the permission to subscribe. */
const DENIED_RETRY_MS = 30_000;

/** One redirect normally leads to the right node. More than a few in a row mean that the Cluster is being reconfigured. */
const MAX_REDIRECTS = 5;

interface SubscriberOptions {
  readonly redis: RedisOptions;
  readonly logins: RedisLogins;
  readonly permissions: RedisPermissions;
  readonly channel: string;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onMessage: (message: string) => void;
}

/**
 * Listens to one channel on a connection of its own, and resubscribes forever. On a Cluster it is a shard channel, which exists
 * only on the nodes of its slot: the subscriber asks any node and follows the redirect.
 */
export class Subscriber implements AsyncDisposable {
  readonly #options: SubscriberOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #isListening = false;
  #attempts = 0;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    this.#running = options.supervisor.loop("redis_subscription", this.#closing.signal, this.#rounds());
  }

  get isListening(): boolean {
    return this.#isListening;
  }

  /** Each round listens until the connection ends, then waits unless there is a redirect to follow. */
  #rounds(): Round {
    const { signal } = this.#closing;
    let redirect: RedisHost | undefined;
    let redirects = 0;
    let failures = 0;
    return async (worked) => {
      const result = await this.#listen(redirect, worked);
      this.#isListening = false;
      redirect = redirects < MAX_REDIRECTS ? result.redirect : undefined;
      redirects = redirect === undefined ? 0 : redirects + 1;
      if (result.listened) failures = 0;
      if (redirect === undefined) {
        const pauseMs = result.isDenied
          ? DENIED_RETRY_MS
          : backoffMs({ attempt: failures++, ...RECONNECT_BACKOFF });
        await this.#options.clock.sleep(pauseMs, signal).catch(() => undefined);
      }
    };
  }

  async #listen(redirect: RedisHost | undefined, worked: () => void): Promise<ListenResult> {
    const { redis, logins, onMessage } = this.#options;
    const { address, sharded } = this.#target(redirect);
    const client = openRedis(address, redis, { kind: "commands", logins, retryDelayMs: () => null });
    client.on(sharded ? "smessage" : "message", (_channel: string, message: string) => onMessage(message));
    const closed = watchClosed(client);
    const end = () => client.disconnect();
    this.#closing.signal.addEventListener("abort", end);
    // Redis accepts no login from a connection that subscribes, so another one replaces it.
    const stopLogins = logins.onChange(end);
    try {
      await withTimeLimit(untilReady(client, closed), this.#openingLimitMs, this.#options.clock);
      worked();
      return await this.#keepSubscribed(client, sharded, closed);
    } catch (error) {
      const redirect = sharded ? parseRedirect(error, address) : undefined;
      const isDenied = toRedisFailure(error).denied !== undefined;
      return { listened: this.#isListening, redirect, isDenied };
    } finally {
      stopLogins();
      this.#closing.signal.removeEventListener("abort", end);
      client.disconnect();
    }
  }

  /** Rejects when the connection fails. Subscribing again has no effect, but fails if Redis can no longer be reached. */
  async #keepSubscribed(client: Redis, sharded: boolean, closed: AbortSignal): Promise<never> {
    const { channel, clock, permissions } = this.#options;
    for (;;) {
      const subscribed = (sharded ? client.ssubscribe(channel) : client.subscribe(channel)).catch(
        (error: unknown) => {
          const failure = toRedisFailure(error);
          // Only the library's error contains the target of a redirect.
          throw failure.denied === undefined ? error : failure;
        },
      );
      await permissions.watch(sharded ? "SSUBSCRIBE" : "SUBSCRIBE", [channel], subscribed);
      this.#isListening = true;
      await clock.sleep(RENEW_EVERY_MS, closed);
    }
  }

  /** Twice the limit of one connection, because the library connects to a Sentinel first and then to the master. */
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
    const node = redirect ?? address.nodes[this.#attempts++ % address.nodes.length];
    if (node === undefined) throw new RangeError("the Redis Cluster has no nodes");
    return { address: { kind: "single", ...node, db: 0 }, sharded: true };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }
}

interface ListenResult {
  readonly listened: boolean;
  readonly redirect: RedisHost | undefined;
  /** The Redis user lacks the permission to subscribe. */
  readonly isDenied: boolean;
}

type SingleOrSentinel = Exclude<RedisAddress, { kind: "cluster" }>;

function untilReady(client: Redis, closed: AbortSignal): Promise<void> {
  const ready = new Promise<void>((resolve) => void client.once("ready", () => resolve()));
  return untilAborted(ready, closed);
}

/** Returns a signal that is aborted when the connection is closed or has become useless. */
function watchClosed(client: Redis): AbortSignal {
  const closed = new AbortController();
  client.on("error", (error: unknown) => closed.abort(error));
  client.once("end", () => closed.abort(new RedisFailure("unreachable", "connection closed")));
  // Redis ends the subscription to a shard channel whose slot is moved to another node.
  client.once("moved", () => closed.abort(new RedisFailure("unreachable", "the channel is on another node")));
  return closed.signal;
}

/** Parses `MOVED 1234 host:port`. An empty host stands for the host of the node that replied. */
function parseRedirect(error: unknown, asked: SingleOrSentinel): RedisHost | undefined {
  if (toRedisFailure(error).code !== "MOVED" || asked.kind !== "single") return undefined;
  const [, host, port] = /^MOVED \d+ (.*):(\d{1,5})$/.exec((error as Error).message) ?? [];
  return port === undefined ? undefined : { host: host || asked.host, port: Number(port) };
}
