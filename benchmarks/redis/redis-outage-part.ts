import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Part, PartResult } from "../bench.ts";
import { projectOfJsonBytes } from "../project.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { quantile } from "../statistics.ts";
import { steadyLoad } from "../steady-load.ts";
import { ms } from "../table.ts";
import { RedisProcess } from "./redis-process.ts";

const SDK_KEY = "secret-bench-redis-outage";
const REQUESTS_PER_S = 200;

interface Phase {
  readonly name: string;
  readonly latenciesMs: readonly number[];
  readonly failed: number;
  readonly lastLcut: number;
}

/** Measures requests while Redis is up, down, and up again. A new version is published every second. */
export const redisOutagePart: Part = { name: "redis-outage", needs: ["redis-server", "redis-cli"], run };

async function run(bench: Bench): Promise<PartResult> {
  const seconds = bench.quick ? 5 : 60;
  await using upstream = await StaticUpstream.start();
  await using redis = await RedisProcess.start(bench);
  let lcut = FIRST_LCUT;
  upstream.publish(SDK_KEY, projectOfJsonBytes(20_000, lcut));
  const options = {
    upstream,
    cores: bench.cores?.server,
    pollIntervalS: 1,
    cache: "redis",
    env: redis.env,
  } as const;
  await using relay = await RelayServer.start(bench, options, specPath(SDK_KEY));
  const publishing = setInterval(() => upstream.publish(SDK_KEY, projectOfJsonBytes(20_000, ++lcut)), 1_000);
  try {
    const url = relay.httpUrl + specPath(SDK_KEY);
    const phases = [await load(bench, "Redis up", url, seconds)];
    await redis.stop();
    phases.push(await load(bench, "Redis down", url, seconds));
    redis.resume();
    phases.push(await load(bench, "Redis up again", url, seconds));
    clearInterval(publishing);
    const kept = await keptLcut(bench, redis, lcut);
    const rows = phases.map(({ name, latenciesMs, failed, lastLcut }) => {
      const of = (share: number) => ms(quantile(latenciesMs, share));
      return [
        name,
        String(latenciesMs.length),
        String(failed),
        of(0.5),
        of(0.99),
        `+${lastLcut - FIRST_LCUT}`,
      ];
    });
    return {
      tables: [
        {
          title: `redis-outage: ${seconds} s each, ${REQUESTS_PER_S} requests/s, a version each second`,
          head: ["phase", "requests", "failed", "p50 ms", "p99 ms", "newest served"],
          rows,
        },
      ],
      notes: [
        `in Redis after it was up again: +${kept - FIRST_LCUT}, upstream's newest: +${lcut - FIRST_LCUT}`,
      ],
      raw: { phases, kept, lcut },
    };
  } finally {
    clearInterval(publishing);
  }
}

async function load(bench: Bench, name: string, url: string, seconds: number): Promise<Phase> {
  bench.progress(`redis-outage: ${name}`);
  const isOn = (asked: number) => asked < seconds * REQUESTS_PER_S;
  const { latenciesMs, answers, failures } = await steadyLoad(bench, REQUESTS_PER_S, isOn, () => ask(url));
  return { name, latenciesMs, failed: failures.length, lastLcut: Math.max(0, ...answers) };
}

async function ask(url: string): Promise<number> {
  const response = await fetch(url);
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`status ${response.status}`);
  return Number(response.headers.get("x-since-time"));
}

/** Resolves with the version in Redis, once that is the newest or after 10 s. */
async function keptLcut(bench: Bench, redis: RedisProcess, newest: number): Promise<number> {
  let kept = 0;
  for (let attempt = 0; attempt < 100 && kept < newest; attempt++) {
    await sleep(100, undefined, { signal: bench.signal });
    const cli = ["redis-cli", "-p", String(redis.port)];
    const [key = ""] = await lines([...cli, "--scan", "--pattern", "statsig|*"]);
    kept = Number((await lines([...cli, "HGET", key, "lcut"]))[0]);
  }
  return kept;
}

async function lines(command: readonly string[]): Promise<string[]> {
  const child = Bun.spawn([...command], { stdio: ["ignore", "pipe", "ignore"] });
  return (await child.stdout.text()).split("\n");
}
