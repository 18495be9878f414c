import { describe, expect, test } from "bun:test";
import { takeInstant } from "../../src/platform/clock.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { findFeeds } from "../../src/telemetry/status/feeds.ts";
import { PollStatus } from "../../src/telemetry/status/polls.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { WallClock } from "../support/common/wall-clock.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-wall-clock-0123456789";
const DAY_S = 86_400;
const NO_RATES = { http: 0, failed: 0, rpcs: 0, find: () => undefined };

const isReady = async (managed: ManagedRelay) => (await managed.get("/readyz")).status === 200;

/** Returns how many seconds the time of the last confirmation is ahead of this machine's clock. */
async function confirmedAheadS({ relay }: ManagedRelay): Promise<number> {
  const { headers } = await rawGet(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json`);
  return (Date.parse(String(headers["x-sfp-confirmed-at"])) - Date.now()) / 1_000;
}

async function confirmedAgesS(managed: ManagedRelay): Promise<readonly number[]> {
  const page = (await managed.get("/metrics")).body.toString();
  return [...page.matchAll(/^\w*ConfirmedAgeS\w*\{.*\} (\S+)/gm)].map(([, age]) => Number(age));
}

describeWith("faketime")("a relay whose wall clock is set", () => {
  test.each([-DAY_S, DAY_S])(
    "by %d s stays ready while upstream confirms, and becomes not ready soon after it stops",
    async (jumpS) => {
      using wall = new WallClock();
      await using upstream = await startUpstream();
      publishKey(upstream, KEY);
      const args = ["--preload-sdk-keys", KEY, "--max-staleness-in-s", "5"];
      await using managed = await startManagedRelay({ upstream, args, env: wall.env });
      await eventually(async () => expect(await isReady(managed)).toBe(true));
      wall.set(jumpS);
      const until = performance.now() + 3_000;
      while (performance.now() < until) {
        expect([await isReady(managed), (await managed.status()).problems]).toEqual([true, []]);
        for (const age of await confirmedAgesS(managed)) expect(age).toBeWithin(0, 4);
        await Bun.sleep(50);
      }
      expect(await confirmedAgesS(managed)).toHaveLength(2);
      // Displayed times follow the wall clock.
      expect(await confirmedAheadS(managed)).toBeWithin(jumpS - 5, jumpS + 1);

      await upstream.stop();
      await Bun.sleep(1_000);
      // Set back, so that the last confirmation lies in the future.
      wall.set(jumpS - DAY_S);
      await eventually(async () => expect(await isReady(managed)).toBe(false), { withinMs: 20_000 });
      await eventually(async () => expect((await managed.status()).feeds_by_state.stale).toBe(2));
      await upstream.restart();
      await eventually(async () => expect((await managed.status()).state).toBe("ok"), { withinMs: 20_000 });
      expect(await confirmedAheadS(managed)).toBeWithin(jumpS - DAY_S - 5, jumpS - DAY_S + 1);
    },
    60_000,
  );
});

describe("the state of a feed on the status page", () => {
  test.each([-1, 1])("does not depend on a wall clock that jumps by %d days", async (days) => {
    const clock = new FakeClock();
    const store = new SpecStore({ maxKeys: 10 });
    const feed = feedOf(KEY);
    const polls = new PollStatus(clock, []);
    const stateNow = () =>
      findFeeds({
        store,
        preload: [],
        polls,
        rates: NO_RATES,
        oversized: { find: () => undefined },
        clock,
        staleAfterMs: 30_000,
        claimant: () => undefined,
      })[0]?.state;
    store.publish(snapshotOf(feed, 1), { confirmed: takeInstant(clock) });
    await clock.advance(20_000);
    clock.jump(days * DAY_S * 1_000);
    expect(stateNow()).toBe("fresh");
    polls.failed({ feed, held: true }, { outcome: "failed", reason: "timeout", detail: "", tookMs: 1 });
    expect(stateNow()).toBe("failing");
    clock.jump(-2 * days * DAY_S * 1_000);
    await clock.advance(1);
    // Another relay of the fleet got a confirmation.
    store.confirm(feed, takeInstant(clock));
    expect(stateNow()).toBe("fresh");
    await clock.advance(30_001);
    expect(stateNow()).toBe("stale");
  });
});
