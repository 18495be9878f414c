import { hostname } from "node:os";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import { type FleetSeen, FleetView } from "../redis/fleet-view.ts";
import { VERSION } from "../version.ts";
import type { BackupParts } from "./backup.ts";
import type { Health } from "./lifecycle.ts";
import type { RunningServing } from "./serving.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface PresenceParts {
  readonly clock: Clock;
  readonly health: Health;
  readonly telemetry: Pick<RunningTelemetry, "startedAt">;
  readonly backup: BackupParts | undefined;
  readonly specs: Pick<RunningSpecs, "store">;
  readonly serving: Pick<RunningServing, "streamLimit">;
}

/** Shows this relay to the others of its fleet. Returns how to see them; undefined without Redis. */
export function startPresence(
  read: () => Config,
  { backup, specs, serving, health, telemetry, clock }: PresenceParts,
): (() => Promise<FleetSeen>) | undefined {
  const { presence } = backup ?? {};
  if (presence === undefined) return undefined;
  const { store } = specs;
  presence.show(() => {
    const held = [...store.held()];
    return {
      host: hostname(),
      version: VERSION,
      startedAt: telemetry.startedAt,
      mode: read().mode,
      isReady: health.notReady().length === 0,
      sdkKeys: store.keyCount,
      feeds: held.length,
      streams: serving.streamLimit.open,
      newestLcut: held.reduce((newest, { snapshot }) => Math.max(newest, snapshot.lcut), 0),
      fleetPolling: read().redis.fleetPolling,
    };
  });
  const view = new FleetView(presence, clock);
  return () => view.read(read().redis.fleetPolling ? Array.from(store.held(), ({ feed }) => feed) : []);
}
