import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitOf } from "../common/exit-of.ts";
import { freePort } from "../common/free-port.ts";
import { Output } from "../common/output.ts";
import { within } from "../common/wait.ts";

export interface PrometheusOptions {
  /** The address to scrape: `host:port`. */
  readonly target: string;
  /** The text of its rule file. */
  readonly rules: string;
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
}

interface Target {
  readonly health: string;
  readonly lastError: string;
}

const START_LIMIT_MS = 15_000;
const EVERY = "250ms";

/** A Prometheus server of the test, on loopback, that scrapes four times a second. */
export class Prometheus implements AsyncDisposable {
  readonly #url: string;
  readonly #owned: AsyncDisposableStack;

  private constructor(url: string, owned: AsyncDisposableStack) {
    this.#url = url;
    this.#owned = owned;
  }

  static async start({ target, rules }: PrometheusOptions): Promise<Prometheus> {
    await using starting = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), "sfp-prometheus-"));
    starting.defer(() => rm(dir, { recursive: true, force: true }));
    await writeFile(join(dir, "alerts.yaml"), rules);
    await writeFile(join(dir, "prometheus.yaml"), configFor(target));
    const address = `127.0.0.1:${await freePort()}`;
    const args = [
      `--config.file=${join(dir, "prometheus.yaml")}`,
      `--storage.tsdb.path=${join(dir, "data")}`,
      `--web.listen-address=${address}`,
    ];
    const child = spawn("prometheus", args, { stdio: ["ignore", "pipe", "pipe"] });
    starting.defer(async () => {
      child.kill("SIGKILL");
      await exitOf(child);
    });
    const output = new Output(child.stdout, child.stderr);
    const ready = output.until((text) => (text.includes("ready to receive web requests") ? true : undefined));
    const ended = exitOf(child).then((code) => {
      throw new Error(`prometheus ended with exit code ${code}\n${output.text}`);
    });
    ended.catch(() => undefined);
    await within(Promise.race([ready, ended]), START_LIMIT_MS, "prometheus to be ready");
    return new Prometheus(`http://${address}/api/v1`, starting.move());
  }

  /** Returns the alerts that are pending or firing. */
  async alerts(): Promise<readonly Alert[]> {
    return (await this.#get<{ readonly alerts: readonly Alert[] }>("/alerts")).alerts;
  }

  async alert(name: string): Promise<Alert | undefined> {
    return (await this.alerts()).find(({ labels }) => labels["alertname"] === name);
  }

  async target(): Promise<Target | undefined> {
    return (await this.#get<{ readonly activeTargets: readonly Target[] }>("/targets")).activeTargets[0];
  }

  /** Returns the values of all series of the expression. */
  async query(expr: string): Promise<readonly number[]> {
    const path = `/query?query=${encodeURIComponent(expr)}`;
    const { result } = await this.#get<{ readonly result: readonly { value: [number, string] }[] }>(path);
    return result.map(({ value: [, text] }) => Number(text));
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(this.#url + path, { signal: AbortSignal.timeout(5_000) });
    const { data } = (await response.json()) as { readonly data: T };
    return data;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }
}

function configFor(target: string): string {
  return JSON.stringify({
    global: { scrape_interval: EVERY, scrape_timeout: EVERY, evaluation_interval: EVERY },
    rule_files: ["alerts.yaml"],
    scrape_configs: [{ job_name: "statsig-forward-proxy", static_configs: [{ targets: [target] }] }],
  });
}

/** The unit tests of the rules take 6 s of CPU time. */
const LIMIT_MS = 60_000;

/** Runs promtool with `stdin` as its standard input. */
export async function promtool(
  args: readonly string[],
  stdin = "",
): Promise<{ exitCode: number; output: string }> {
  const child = spawn("promtool", [...args], { stdio: ["pipe", "pipe", "pipe"] });
  const output = new Output(child.stdout, child.stderr);
  child.stdin.end(stdin);
  try {
    const exitCode = await within(exitOf(child), LIMIT_MS, `promtool ${args.join(" ")} to end`);
    return { exitCode, output: output.text };
  } finally {
    child.kill("SIGKILL");
  }
}
