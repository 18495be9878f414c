import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../src/platform/clock.ts";
import { LocalBackup, type LocalBackupOptions } from "../../../src/sqlite/backup.ts";
import type { LocalEvent } from "../../../src/sqlite/events.ts";
import { strictSupervisor } from "../common/supervisors.ts";
import { eventually } from "../common/wait.ts";
import { MAX_PAYLOAD_BYTES } from "../upstream/payloads.ts";

export interface OpenedLocal extends AsyncDisposable {
  readonly backup: LocalBackup;
  /** The events that it emitted, oldest first. */
  readonly events: readonly LocalEvent[];
}

/** A local backup in this folder, which may not be usable yet. */
export function startLocal(path: string, options: Partial<LocalBackupOptions> = {}): OpenedLocal {
  const events: LocalEvent[] = [];
  const backup = new LocalBackup({
    supervisor: strictSupervisor(),
    path,
    maxKeys: 200,
    maxBytes: 64 * 1024 * 1024,
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    clock: systemClock,
    onProblem: (event) => events.push(event),
    ...options,
  });
  return { backup, events, [Symbol.asyncDispose]: () => backup[Symbol.asyncDispose]() };
}

/** Opens a local backup in this folder. Rejects if it can't be used. */
export async function openLocal(
  path: string,
  options: Partial<LocalBackupOptions> = {},
): Promise<OpenedLocal> {
  const local = startLocal(path, options);
  const isUnusable = () => local.events.some(({ kind }) => kind === "local_unusable");
  let isOpen = false;
  local.backup.onOpened(() => {
    isOpen = true;
  });
  await local.backup.attempted();
  // It waits for 3 s at most, which a busy machine may take to start the Worker.
  await eventually(
    () => {
      if (!isOpen && !isUnusable()) throw new Error("the local backup is still being opened");
    },
    { withinMs: 30_000 },
  );
  if (isUnusable()) {
    await local[Symbol.asyncDispose]();
    throw new Error(JSON.stringify(local.events));
  }
  return local;
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
