import type { FleetBoard } from "./specs/fleet.ts";
import type { Lease } from "./specs/lease.ts";
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
