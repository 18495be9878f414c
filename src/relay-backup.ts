import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { EmitLocalEvent } from "./local/events.ts";
import { openLocalBackup } from "./local/local-backup.ts";
import type { FleetBoard } from "./specs/fleet.ts";
import { type Lease, OWN_LEASE } from "./specs/lease.ts";
import type { SpecBackup } from "./specs/spec-backup.ts";

/** What stands behind `CACHE`. */
export interface BackupParts {
  readonly backup: SpecBackup;
  readonly lease: Lease;
  /** Only with `--fleet-polling`. */
  readonly board?: FleetBoard;
  /** How often what is held is kept from expiring, ms. */
  readonly touchEveryMs: number;
}

export interface BackupOpening {
  readonly clock: Clock;
  readonly emit: EmitLocalEvent;
  /** Owns what is opened. */
  readonly running: AsyncDisposableStack;
}

/** How often the local backup is told what is still in use, by which it chooses what makes room. */
const LOCAL_TOUCH_MS = 3_600_000;

/** Opens the backup that `CACHE` names. A backup that can't be used is no reason not to serve. */
export async function openBackup(config: Config, opening: BackupOpening): Promise<BackupParts | undefined> {
  const { clock, emit, running } = opening;
  switch (config.cache) {
    case "disabled":
      return undefined;
    case "local": {
      const { path, maxBytes } = config.local;
      const backup = await openLocalBackup({
        path,
        maxBytes,
        maxKeys: config.maxKeys,
        clock,
        onProblem: emit,
      });
      if (backup === undefined) return undefined;
      running.use(backup);
      return { backup, lease: OWN_LEASE, touchEveryMs: LOCAL_TOUCH_MS };
    }
    case "redis":
      throw new Error("redis");
  }
}
