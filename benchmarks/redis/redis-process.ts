import type { Bench } from "../bench.ts";
import { Launched } from "../launched.ts";
import { freePort } from "../loopback.ts";

/** A Redis server without persistence. */
export class RedisProcess implements AsyncDisposable {
  readonly port: number;
  readonly #bench: Bench;
  #launched: Launched | undefined;

  private constructor(bench: Bench, port: number) {
    this.#bench = bench;
    this.port = port;
  }

  static async start(bench: Bench): Promise<RedisProcess> {
    const redis = new RedisProcess(bench, await freePort());
    redis.resume();
    return redis;
  }

  get env(): Readonly<Record<string, string>> {
    return { REDIS_URL: `redis://127.0.0.1:${this.port}` };
  }

  /** Starts an empty server on the same port. */
  resume(): void {
    const where = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#bench.scratch];
    const command = ["redis-server", ...where, "--save", "", "--appendonly", "no"];
    this.#launched = new Launched(this.#bench, { name: `redis-${this.port}`, command, cores: undefined });
  }

  async stop(): Promise<void> {
    await this.#launched?.[Symbol.asyncDispose]();
    this.#launched = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
