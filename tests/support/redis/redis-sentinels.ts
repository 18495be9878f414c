import type { RedisOptions } from "../../../src/redis/options.ts";
import { eventually } from "../common/wait.ts";
import { RedisServer } from "./redis-server.ts";

const MASTER_NAME = "mymaster";
const SENTINELS = 3;
const QUORUM = 2;

interface Servers {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly RedisServer[];
}

/** By default the master may stand still for longer than any test. */
interface SentinelOptions {
  /** After this time without a reply, the Sentinels take a server to be down. */
  readonly downAfterMs?: number;
}

/** A master, its replica, and Sentinels that promote the replica about a second after the master is down. */
export class RedisSentinels implements AsyncDisposable {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly RedisServer[];
  readonly #owned: AsyncDisposableStack;

  private constructor(servers: Servers, owned: AsyncDisposableStack) {
    this.master = servers.master;
    this.replica = servers.replica;
    this.sentinels = servers.sentinels;
    this.#owned = owned;
  }

  static async start({ downAfterMs = 60_000 }: SentinelOptions = {}): Promise<RedisSentinels> {
    await using started = new AsyncDisposableStack();
    const begin = async (...args: Parameters<typeof RedisServer.start>) =>
      started.use(await RedisServer.start(...args));
    const master = await begin();
    const replica = await begin({ replicaOf: master.port });
    await replica.inSync();
    const watching = [
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${master.port} ${QUORUM}`,
      `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
      `sentinel failover-timeout ${MASTER_NAME} 3000`,
    ];
    const sentinels = await Promise.all(
      Array.from({ length: SENTINELS }, () => begin({ sentinel: true, config: watching })),
    );
    await eventually(
      async () => {
        for (const sentinel of sentinels) {
          const state = await sentinel.cli("SENTINEL", "MASTER", MASTER_NAME);
          if (!knows(state, "num-other-sentinels", SENTINELS - 1) || !knows(state, "num-slaves", 1)) {
            throw new Error(`the Sentinels do not know each other and the replica: ${state}`);
          }
        }
      },
      { withinMs: 20_000, everyMs: 200 },
    );
    return new RedisSentinels({ master, replica, sentinels }, started.move());
  }

  get options(): RedisOptions {
    const sentinels = this.sentinels.map(({ port }) => ({ host: "127.0.0.1", port }));
    return { ...this.master.options, address: { kind: "sentinel", sentinels, master: MASTER_NAME } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

const knows = (state: string, field: string, count: number): boolean =>
  state.includes(`${field}\n${count}\n`);
