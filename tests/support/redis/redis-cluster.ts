import type { RedisOptions } from "../../../src/redis/options.ts";
import { freePort } from "../common/free-port.ts";
import { eventually } from "../common/wait.ts";
import { RedisServer } from "./redis-server.ts";

const SLOTS = 16_384;
const NODES = 3;

/** Three masters that share the slots. */
export class RedisCluster implements AsyncDisposable {
  readonly nodes: readonly RedisServer[];
  readonly #owned: AsyncDisposableStack;

  private constructor(nodes: readonly RedisServer[], owned: AsyncDisposableStack) {
    this.nodes = nodes;
    this.#owned = owned;
  }

  /** `more`: lines of redis.conf. */
  static async start(more: readonly string[] = []): Promise<RedisCluster> {
    await using started = new AsyncDisposableStack();
    const buses = await Promise.all(Array.from({ length: NODES }, () => freePort()));
    const nodes = await Promise.all(
      buses.map(async (bus) => {
        // Longer than the machine may stand still: nodes that take each other to be down serve nothing.
        const config = ["cluster-enabled yes", `cluster-port ${bus}`, "cluster-node-timeout 5000", ...more];
        return started.use(await RedisServer.start({ config }));
      }),
    );
    for (const [at, node] of nodes.entries()) {
      await node.cli("CLUSTER", "SET-CONFIG-EPOCH", String(at + 1));
      const [from, to] = [Math.ceil((SLOTS * at) / NODES), Math.ceil((SLOTS * (at + 1)) / NODES) - 1];
      await node.cli("CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
      // Each other one, so that none waits for gossip.
      for (const [earlier, { port }] of nodes.slice(0, at).entries()) {
        await node.cli("CLUSTER", "MEET", "127.0.0.1", String(port), String(buses[earlier]));
      }
    }
    await eventually(
      async () => {
        for (const node of nodes) {
          const info = await node.cli("CLUSTER", "INFO");
          if (!info.includes("cluster_state:ok")) throw new Error(`the Cluster is incomplete: ${info}`);
        }
      },
      { withinMs: 20_000, everyMs: 200 },
    );
    return new RedisCluster(nodes, started.move());
  }

  get options(): RedisOptions {
    const [node] = this.nodes;
    if (node === undefined) throw new Error("the Cluster has no nodes");
    const nodes = this.nodes.map(({ port }) => ({ host: "127.0.0.1", port }));
    return { ...node.options, address: { kind: "cluster", nodes } };
  }

  /** Returns the node of a key. */
  async findNode(key: string): Promise<RedisServer> {
    const slot = Number(await this.nodes[0]?.cli("CLUSTER", "KEYSLOT", key));
    const node = this.nodes[Math.floor((slot * NODES) / SLOTS)];
    if (node === undefined) throw new Error(`no node has slot ${slot}`);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}
