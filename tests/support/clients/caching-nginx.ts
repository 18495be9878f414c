import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitOf } from "../common/exit-of.ts";
import { freePort } from "../common/free-port.ts";
import { Output } from "../common/output.ts";
import { eventually, within } from "../common/wait.ts";
import { rawGet } from "./raw-get.ts";

const STARTS = 5;
const START_LIMIT_MS = 20_000;

/** A real nginx in front of a relay that caches what it may. Its responses have `x-cache`: HIT, MISS or BYPASS. */
export class CachingNginx implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
  }

  /** `cacheKey` is nginx's `proxy_cache_key`. */
  static async start(relayUrl: string, cacheKey: string): Promise<CachingNginx> {
    for (let left = STARTS; ; left--) {
      try {
        return await CachingNginx.#tryStart(relayUrl, cacheKey);
      } catch (error) {
        // Another test run may have taken the port in the meantime.
        if (left <= 1) throw error;
      }
    }
  }

  static async #tryStart(relayUrl: string, cacheKey: string): Promise<CachingNginx> {
    const folder = await mkdtemp(join(tmpdir(), "sfp-caching-nginx-"));
    const port = await freePort();
    const file = join(folder, "nginx.conf");
    await writeFile(file, configOf({ folder, port, relayUrl, cacheKey }));
    const child = spawn("nginx", ["-p", folder, "-c", file, "-e", "stderr"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = new Output(child.stdout, child.stderr);
    const nginx = new CachingNginx(`http://127.0.0.1:${port}`, child, folder);
    const ended = exitOf(child).then((code) => {
      throw new Error(`it ended with exit code ${code}`);
    });
    ended.catch(() => undefined);
    try {
      const up = eventually(() => rawGet(`${nginx.url}/v1/health`), { withinMs: START_LIMIT_MS });
      await Promise.race([up, ended]);
      return nginx;
    } catch (error) {
      await nginx[Symbol.asyncDispose]();
      throw new Error(`nginx did not start: ${String(error)}\n${output.text}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await within(exitOf(this.#child), 5_000, "nginx to end").catch(() => this.#child.kill("SIGKILL"));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

interface NginxConfig {
  readonly folder: string;
  readonly port: number;
  readonly relayUrl: string;
  readonly cacheKey: string;
}

function configOf({ folder, port, relayUrl, cacheKey }: NginxConfig): string {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const temporary = paths.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n");
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `daemon off;
${user}
pid ${folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 256; }
http {
  access_log off;
  ${temporary}
  proxy_cache_path ${folder}/cache keys_zone=specs:1m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${relayUrl};
      proxy_http_version 1.1;
      proxy_cache specs;
      proxy_cache_key ${cacheKey};
      proxy_cache_valid any 10m;
      add_header x-cache $upstream_cache_status always;
    }
  }
}
`;
}
