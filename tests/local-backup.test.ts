import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeBackup } from "./support/backup-contract.ts";
import { openLocal } from "./support/local-backups.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-local-"));
afterAll(() => rmSync(folder, { recursive: true }));

describeBackup("the embedded backup", async () => (await openLocal(folder)).backup);
