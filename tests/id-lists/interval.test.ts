import { expect, test } from "bun:test";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { ManifestPoller, MIN_INTERVAL_MS } from "../../src/id-lists/refresh.ts";
import { ManifestStore } from "../../src/id-lists/store.ts";
import { Spacing } from "../../src/platform/spacing.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { sdkKeyOf } from "../support/specs/snapshots.ts";

test("ID lists follow a changed poll interval, but are never polled more often than once a minute", async () => {
  const clock = new FakeClock();
  const store = new ManifestStore({ maxKeys: 10 });
  const asked: SdkKey[] = [];
  const refresh = async (sdkKey: SdkKey) => {
    asked.push(sdkKey);
    return { kind: "failed", detail: "" } as never;
  };
  using poller = new ManifestPoller({
    store,
    refresher: { refresh },
    clock,
    supervisor: strictSupervisor(clock),
    spacing: new Spacing(clock, () => 0),
    specIntervalMs: 10_000,
  });
  store.put(sdkKeyOf("secret-a"), { text: "{}", entries: new Map(), isIncomplete: false, leftOut: [] });
  await clock.advance(0.6 * MIN_INTERVAL_MS);
  // The interval is still a minute, so that the wait does not start again.
  poller.setSpecInterval(5_000);
  await clock.advance(0.6 * MIN_INTERVAL_MS);
  expect(asked).toHaveLength(1);
  poller.setSpecInterval(100 * MIN_INTERVAL_MS);
  await clock.advance(50 * MIN_INTERVAL_MS);
  expect(asked).toHaveLength(1);
  poller.setSpecInterval(1_000);
  await clock.advance(1.2 * MIN_INTERVAL_MS);
  expect(asked).toHaveLength(2);
  expect(clock.sleeping).toBe(1);
});
