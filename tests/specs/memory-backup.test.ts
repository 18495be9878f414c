import type { Snapshot } from "../../src/specs/snapshot.ts";
import { describeBackup } from "../support/specs/backup-contract.ts";
import { MemoryBackup } from "../support/specs/memory-backup.ts";

const entries = new Map<string, Snapshot>();

describeBackup("a backup in memory", async () => new MemoryBackup(entries));
