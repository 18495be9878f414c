import type { Snapshot } from "../src/specs/snapshot.ts";
import { describeBackup } from "./support/backup-contract.ts";
import { MemoryBackup } from "./support/memory-backup.ts";

const shelf = new Map<string, Snapshot>();

describeBackup("a backup in memory", async () => new MemoryBackup(shelf));
