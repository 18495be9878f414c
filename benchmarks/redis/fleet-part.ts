import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Part, PartResult } from "../bench.ts";
import { projectOfJsonBytes } from "../project.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { quantile, spreadOf } from "../statistics.ts";
import { ms, spread } from "../table.ts";
import { Arrivals } from "./arrivals.ts";
import { RedisProcess } from "./redis-process.ts";

const SDK_KEY = "secret-bench-fleet";
const RELAYS = 3;
const SPEC_BYTES = 200_000;
const ARRIVAL_LIMIT_MS = 10_000;

/** Measures how long after the first relay of a fleet the last one has an update. */
export const fleetPart: Part = { name: "fleet", needs: ["redis-server"], run };

async function run(bench: Bench): Promise<PartResult> {
  const updates = bench.quick ? 10 : 50;
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await StaticUpstream.start());
  const redis = stack.use(await RedisProcess.start(bench));
  upstream.publish(SDK_KEY, projectOfJsonBytes(SPEC_BYTES, FIRST_LCUT));
  const arrivals: Arrivals[] = [];
  for (let at = 0; at < RELAYS; at++) {
    const args = ["--fleet-polling", "--redis-leader-key-ttl", "5"];
    const options = {
      upstream,
      cores: undefined,
      pollIntervalS: 1,
      cache: "redis",
      env: redis.env,
      args,
    } as const;
    const relay = stack.use(await RelayServer.start(bench, options, specPath(SDK_KEY)));
    arrivals.push(stack.use(new Arrivals(relay.httpUrl, SDK_KEY)));
  }
  await sleep(1_500, undefined, { signal: bench.signal });
  const behindMs: number[] = [];
  const requestsBefore = upstream.requests;
  const startedAt = performance.now();
  for (let update = 1; update <= updates; update++) {
    bench.progress(`fleet: update ${update} of ${updates}`);
    const since = performance.now();
    upstream.publish(SDK_KEY, projectOfJsonBytes(SPEC_BYTES, FIRST_LCUT + update));
    const times = await Promise.all(arrivals.map((each) => each.after(since, ARRIVAL_LIMIT_MS)));
    behindMs.push(Math.max(...times) - Math.min(...times));
    await sleep(200, undefined, { signal: bench.signal });
  }
  const perInterval = (upstream.requests - requestsBefore) / ((performance.now() - startedAt) / 1_000);
  const rows = [
    ["from the first relay's client to the last relay's, ms", spread(spreadOf(behindMs), ms)],
    ["p99, ms", ms(quantile(behindMs, 0.99))],
    ["requests to upstream per interval, all relays together", perInterval.toFixed(2)],
  ];
  return {
    tables: [
      {
        title: `fleet: ${updates} updates of ${SPEC_BYTES / 1_000} KB, ${RELAYS} relays, median (min-max)`,
        head: ["what", "value"],
        rows,
      },
    ],
    notes: ["all relays, Redis, upstream and the clients share the cores of this machine"],
    raw: { behindMs, perInterval },
  };
}
