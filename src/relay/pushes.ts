import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { SpecPushes } from "../specs/push.ts";
import type { BackupParts } from "./backup.ts";
import type { RunningIdLists } from "./id-lists.ts";
import type { RunningServing } from "./serving.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningUpstream } from "./upstream.ts";

interface PushParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly upstream: RunningUpstream;
  readonly backup: BackupParts | undefined;
  readonly serving: RunningServing;
}

/** Lets operators have feeds polled now, on all relays of the fleet. */
export function openPushes({
  clock,
  supervisor,
  specs,
  idLists,
  upstream,
  backup,
  serving,
}: PushParts): SpecPushes {
  const { polled, pollAfresh, store } = specs;
  return new SpecPushes({
    ...{ polled, pollAfresh, store, idLists, clock, supervisor },
    channel: backup?.fleetChannel,
    intervalMs: upstream.intervalMs,
    reachClients: () => serving.reach(),
  });
}
