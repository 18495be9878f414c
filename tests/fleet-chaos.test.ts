import { expect, test } from "bun:test";
import { describeRound, runChaos, summarize } from "./support/chaos-rounds.ts";
import { describeWith } from "./support/needs.ts";

const ROUNDS = Number(process.env["SFP_CHAOS_ROUNDS"] ?? 20);
const ROUNDS_WITHOUT_FLEET = Math.ceil(ROUNDS / 4);
/** Another one in each run, unless a run is to be repeated. */
const SEED = Number(process.env["SFP_CHAOS_SEED"] ?? Date.now() % 1_000_000);
const ONLY = process.env["SFP_CHAOS_FAULTS"];

const ROUND_LIMIT_MS = 30_000;
const START_LIMIT_MS = 60_000;

/**
 * Never an older version on any relay or in Redis, nothing that was held is taken away, and Redis and all relays at the
 * newest within an interval and 2 s after the end of each fault. `SFP_CHAOS_ROUNDS=100` for more rounds,
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
});
