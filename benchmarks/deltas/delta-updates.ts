import type { Bench } from "../bench.ts";
import type { UpdateStalls } from "../prepare/update-stalls.ts";
import { projectOfJsonBytes } from "../project.ts";
import { FIRST_LCUT, StaticUpstream } from "../static-upstream.ts";
import { DeltaRelay, settingsOf } from "./delta-relay.ts";
import { OTHER_KEY, Pollers, type UpdateRound } from "./poll-rounds.ts";
import { measureStalls } from "./preparation-stalls.ts";

const OTHER_BYTES = 20_000;

/** Updates that reach all pollers in one way. */
export interface PolledUpdates {
  readonly changed: number;
  readonly name: string;
  readonly rounds: readonly UpdateRound[];
}

/** Latencies of small requests while a relay prepares updates, for each update. */
export interface PreparedUpdates {
  readonly changed: number;
  readonly name: string;
  readonly stalls: readonly UpdateStalls[];
}

/** How pollers get a version. */
interface Way {
  readonly changed: number;
  readonly name: string;
  readonly poll: () => Promise<UpdateRound>;
}

/**
 * Measures updates that change `changed` entities each, on relays with deltas and without, in turn; with 1, also polls
 * without an update, as 0.
 */
export async function measureDeltaUpdates(bench: Bench, changed: number) {
  await using upstream = await StaticUpstream.start();
  upstream.publish(OTHER_KEY, projectOfJsonBytes(OTHER_BYTES, FIRST_LCUT));
  await using opened = new AsyncDisposableStack();
  const relays: DeltaRelay[] = [];
  for (const setting of settingsOf(bench)) {
    bench.progress(`deltas: ${changed} changed: history of ${setting.name}`);
    relays.push(opened.use(await DeltaRelay.start(bench, upstream, setting, changed, relays.length)));
  }
  const prepared = await measurePreparation(bench, upstream, relays, changed);
  const ways: Way[] = [];
  for (const relay of relays) {
    const pollers = opened.use(await Pollers.start(bench, relay));
    ways.push(...waysOf(relay, pollers, changed));
  }
  return { prepared, polled: await measurePolling(bench, ways) };
}

function waysOf({ setting: { name, depth = 0 } }: DeltaRelay, pollers: Pollers, changed: number): Way[] {
  const ways: Way[] = [];
  if (changed === 1) ways.push({ changed: 0, name, poll: () => pollers.pollOnce(true) });
  ways.push({ changed, name, poll: () => pollers.update(true) });
  if (depth > 0) ways.push({ changed, name: `${name}, not asked for`, poll: () => pollers.update(false) });
  return ways;
}

async function measurePolling(bench: Bench, ways: readonly Way[]): Promise<PolledUpdates[]> {
  const polled = ways.map(({ changed, name }) => ({ changed, name, rounds: [] as UpdateRound[] }));
  const rounds = bench.quick ? 1 : 3;
  for (let round = 1; round <= rounds; round++) {
    for (const [at, { changed, name, poll }] of ways.entries()) {
      bench.progress(`deltas: ${changed} changed: round ${round} of ${rounds}, ${name}`);
      polled[at]?.rounds.push(await poll());
    }
  }
  return polled;
}

async function measurePreparation(
  bench: Bench,
  upstream: StaticUpstream,
  relays: readonly DeltaRelay[],
  changed: number,
): Promise<PreparedUpdates[]> {
  const prepared = relays.map(({ setting: { name } }) => ({ changed, name, stalls: [] as UpdateStalls[] }));
  const updates = bench.quick ? 3 : 10;
  for (let update = 1; update <= updates; update++) {
    bench.progress(`deltas: ${changed} changed: preparation ${update} of ${updates}`);
    for (const [at, relay] of relays.entries())
      prepared[at]?.stalls.push(await measureStalls(bench, upstream, relay));
  }
  return prepared;
}
