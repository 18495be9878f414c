import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { DEFAULT_REDIS_OPTIONS, type RedisOptions } from "../../../src/redis/options.ts";
import { exitOf } from "../common/exit-of.ts";
import { freePort } from "../common/free-port.ts";
import { Output } from "../common/output.ts";
import { eventually, within } from "../common/wait.ts";
import type { RedisCertificates } from "./redis-certificates.ts";

const run = promisify(execFile);

export interface RedisServerOptions {
  /** The only enabled user. */
  readonly user?: { readonly name: string; readonly password: string };
  /** TLS only, for clients with a certificate. */
  readonly tls?: RedisCertificates;
  /** The port of the master, for a replica. */
  readonly replicaOf?: number;
  /** More lines of redis.conf. */
  readonly config?: readonly string[];
  /** Persists acknowledged writes, so that they survive a restart. */
  readonly isDurable?: boolean;
  /** A Sentinel keeps its state in its config file. */
  readonly sentinel?: boolean;
  readonly port?: number;
}

const START_LIMIT_MS = 10_000;
const STARTS = 5;

/** A Redis for one test, on loopback. It persists nothing unless it is durable. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #options: RedisServerOptions;
  readonly #dir: string;
  #child: ChildProcess | undefined;

  private constructor(port: number, dir: string, options: RedisServerOptions) {
    this.port = port;
    this.#dir = dir;
    this.#options = options;
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    for (let left = STARTS; ; left--) {
      const server = await RedisServer.reserve(options);
      try {
        await server.restart();
        return server;
      } catch (error) {
        await server[Symbol.asyncDispose]();
        // Another process took the port meanwhile.
        if (left <= 1 || options.port !== undefined) throw error;
      }
    }
  }

  /** Returns a server that is not started yet, for tests of a relay that starts before Redis. */
  static async reserve(options: RedisServerOptions = {}): Promise<RedisServer> {
    const dir = await mkdtemp(join(tmpdir(), "sfp-redis-"));
    return new RedisServer(options.port ?? (await freePort()), dir, options);
  }

  get options(): RedisOptions {
    const { user, tls } = this.#options;
    return {
      ...DEFAULT_REDIS_OPTIONS,
      address: { kind: "single", host: "127.0.0.1", port: this.port, db: 0 },
      ...(user !== undefined && { user: user.name, password: user.password }),
      ...(tls !== undefined && { tls: tls.client }),
    };
  }

  /** Restarts on the same port; empty unless it is durable. */
  async restart(): Promise<void> {
    await this.kill();
    const file = join(this.#dir, "redis.conf");
    await writeFile(file, `${this.#configLines().join("\n")}\n`);
    const args = this.#options.sentinel ? [file, "--sentinel"] : [file];
    const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    const output = new Output(child.stdout, child.stderr);
    const ended = exitOf(child).then((code) => {
      throw new Error(`it ended with exit code ${code}`);
    });
    const ready = output.until(
      (text) => /Ready to accept connections|Sentinel ID is/.exec(text) ?? undefined,
    );
    try {
      await within(Promise.race([ready, ended]), START_LIMIT_MS, "Redis to accept connections");
    } catch (error) {
      throw new Error(`redis-server did not start: ${String(error)}\n${output.text}`);
    } finally {
      ended.catch(() => undefined);
    }
  }

  #configLines(): string[] {
    const { user, tls, replicaOf, isDurable = false, sentinel = false, config = [] } = this.#options;
    return [
      "bind 127.0.0.1",
      `dir ${this.#dir}`,
      "daemonize no",
      ...(tls === undefined
        ? [`port ${this.port}`]
        : ["port 0", `tls-port ${this.port}`, ...tls.configLines]),
      ...(sentinel ? [] : ['save ""', "repl-diskless-sync-delay 0"]),
      // Data in the kernel survives the process, so there is no need to wait for the disk.
      ...(sentinel ? [] : isDurable ? ["appendonly yes", "appendfsync no"] : ["appendonly no"]),
      ...(replicaOf === undefined ? [] : [`replicaof 127.0.0.1 ${replicaOf}`]),
      // As a digest, so that no password needs quoting.
      ...(user === undefined
        ? []
        : ["user default off", `user ${user.name} on #${sha256(user.password)} ~* &* +@all`]),
      ...config,
    ];
  }

  /** Resolves when the replica is in sync with its master. */
  async inSync(): Promise<void> {
    await eventually(
      async () => {
        const state = await this.cli("INFO", "replication");
        if (!state.includes("master_link_status:up")) throw new Error(`no replica yet: ${state}`);
      },
      { withinMs: 15_000, everyMs: 100 },
    );
  }

  /** Resolves with the reply as `redis-cli` prints it, without quotes. */
  async cli(...args: string[]): Promise<string> {
    const { user, tls } = this.#options;
    const login =
      user === undefined ? [] : ["--user", user.name, "--pass", user.password, "--no-auth-warning"];
    const all = ["-h", "127.0.0.1", "-p", String(this.port), ...login, ...(tls?.cliArgs ?? []), ...args];
    const { stdout } = await run("redis-cli", all, { timeout: 15_000, maxBuffer: 64 * 1024 * 1024 });
    return stdout.replace(/\n$/, "");
  }

  /** Sends SIGSTOP: connections stay open without replies. */
  hang(): void {
    this.#child?.kill("SIGSTOP");
  }

  goOn(): void {
    this.#child?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    child.kill("SIGKILL");
    await exitOf(child);
  }

  /** Deletes the persisted data of a durable server that is down. */
  async loseData(): Promise<void> {
    await rm(join(this.#dir, "appendonlydir"), { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
