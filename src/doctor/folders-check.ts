import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Check, type Finding, failed, ok, warning } from "./check.ts";

export interface FolderToWrite {
  readonly option: string;
  readonly path: string;
  readonly maxBytes: number;
}

/** Whether files can be kept, and have room. */
export function foldersCheck(folders: readonly FolderToWrite[]): Check {
  return {
    name: "folders",
    run: async () => (folders.length === 0 ? [ok("none is needed")] : folders.map(judge)),
  };
}

function judge({ option, path, maxBytes }: FolderToWrite): Finding {
  const shown = `--${option} "${path}"`;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const probe = join(path, `.doctor-${randomUUID()}`);
    writeFileSync(probe, "");
    rmSync(probe);
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    return failed(
      `${shown} can't be written (${code})`,
      `give the relay's user a folder of its own by --${option}`,
    );
  }
  const { bavail, bsize } = statfsSync(path);
  const freeMb = Math.floor((bavail * bsize) / 1024 ** 2);
  const wantedMb = Math.ceil(maxBytes / 1024 ** 2);
  const detail = `${shown} can be written, ${freeMb} MB are free`;
  return freeMb < wantedMb
    ? warning(`${detail}, up to ${wantedMb} may be used`, "make room, or lower the bound")
    : ok(detail);
}
