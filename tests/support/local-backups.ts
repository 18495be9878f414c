import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import type { LocalEvent } from "../../src/local/events.ts";
import { type LocalBackup, type LocalBackupOptions, openLocalBackup } from "../../src/local/local-backup.ts";
import { MAX_PAYLOAD_BYTES } from "./payloads.ts";
import { strictSupervisor } from "./supervisors.ts";

export interface OpenedLocal extends AsyncDisposable {
  readonly backup: LocalBackup;
  /** What it reported, oldest first. */
  readonly events: readonly LocalEvent[];
}

/** An embedded backup in this folder; throws where there is none to be had. */
export async function openLocal(
  path: string,
  options: Partial<LocalBackupOptions> = {},
): Promise<OpenedLocal> {
  const events: LocalEvent[] = [];
  const backup = await openLocalBackup({
    supervisor: strictSupervisor(),
    path,
    maxKeys: 200,
    maxBytes: 64 * 1024 * 1024,
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    clock: systemClock,
    onProblem: (event) => events.push(event),
    ...options,
  });
  if (backup === undefined) throw new Error(events.map((event) => JSON.stringify(event)).join("; "));
  return { backup, events, [Symbol.asyncDispose]: () => backup[Symbol.asyncDispose]() };
}

const folders: string[] = [];

/** An empty folder. The test file has `afterAll(deleteFolders)`. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sfp-local-"));
  folders.push(folder);
  return folder;
}

export function deleteFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export const fileIn = (folder: string): string => join(folder, "specs.sqlite");
