import { expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { Random } from "../support/common/random.ts";
import { eventually } from "../support/common/wait.ts";
import { relayKilled, upstreamBehind } from "../support/specs/chaos-faults.ts";
import { CHAOS_FEEDS, ChaosFleet } from "../support/specs/chaos-fleet.ts";
import { describeRound, runChaos, summarize } from "../support/specs/chaos-rounds.ts";
import { ChaosWatch } from "../support/specs/chaos-watch.ts";

const ROUNDS = Number(process.env["SFP_CHAOS_ROUNDS"] ?? 12);
const ROUNDS_WITHOUT_FLEET = Math.ceil(ROUNDS / 4);
/** The random seed: a new one for each run, unless a run is repeated. */
const SEED = Number(process.env["SFP_CHAOS_SEED"] ?? Date.now() % 1_000_000);
const ONLY = process.env["SFP_CHAOS_FAULTS"];

const ROUND_LIMIT_MS = 30_000;
const START_LIMIT_MS = 60_000;

/**
 * No relay and no Redis ever has an older version, nothing that was held is lost, and Redis and all relays have the newest
 * version within an interval and 2 s after the end of each fault, or more if the machine is busy. `SFP_CHAOS_ROUNDS=100` for more rounds,
 * `SFP_CHAOS_SEED=…` for those of another run, and `SFP_CHAOS_FAULTS='slow link'` for faults whose names match.
 */
describeWith("redis-server", "redis-cli")("three relays, five feeds, a Redis and an upstream", () => {
  for (const [fleetPolling, rounds] of [
    [true, ROUNDS],
    [false, ROUNDS_WITHOUT_FLEET],
  ] as const) {
    test(
      `stand random faults ${fleetPolling ? "with" : "without"} --fleet-polling`,
      async () => {
        const seed = fleetPolling ? SEED : SEED + 1;
        const { rounds: done, problems } = await runChaos({
          seed,
          rounds,
          fleetPolling,
          only: ONLY === undefined ? undefined : new RegExp(ONLY),
          onRound: (round) => console.log(describeRound(round)),
        });
        console.log(`SFP_CHAOS_SEED=${SEED}: ${summarize(done)}`);
        if (problems.length > 0) console.log(problems.join("\n"));
        expect(problems.map((problem) => problem.split("\n")[0])).toEqual([]);
      },
      START_LIMIT_MS + rounds * ROUND_LIMIT_MS,
    );
  }

  test("a relay that starts while upstream is behind serves what Redis has from its first response on", async () => {
    await using fleet = await ChaosFleet.start({ fleetPolling: false, intervalS: 1, relays: 1 });
    await using watch = new ChaosWatch(fleet);
    for (const feed of CHAOS_FEEDS) fleet.publish(feed);
    await eventually(() => expect(watch.isRedisAtNewest()).toBe(true), { withinMs: 20_000 });
    const restart = relayKilled(async (relay) => relay.start((await watch.redisLcuts()) ?? new Map()));
    await upstreamBehind.begin(fleet, new Random(1));
    await (await restart.begin(fleet, new Random(1))).end();
    const [relay] = fleet.relays;
    await eventually(() => expect(relay && watch.isRelayAtNewest(relay)).toBe(true), { withinMs: 20_000 });
    expect(watch.takeProblems()).toEqual([]);
  }, 60_000);
});
