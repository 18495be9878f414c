// Uses a local backup while its folder can't be used, and after that, and prints the results: <obstacle> <folder>.
// "read-only" and "full" need a file system of its own on the folder, 2 MB large; "forbidden", a user that is not root.
import { spawnSync } from "node:child_process";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../common/wait.ts";
import { preparedSnapshot } from "../specs/prepared-snapshots.ts";
import { feedOf } from "../specs/snapshots.ts";
import { startLocal } from "./local-backups.ts";

const [obstacle = "", folder = ""] = process.argv.slice(2);
const filler = join(folder, "filler");
const snapshot = await preparedSnapshot(feedOf("secret-unwritable"), 1);
const remount = (mode: "ro" | "rw") => {
  const { status, stderr } = spawnSync("mount", ["-o", `remount,${mode}`, folder]);
  if (status !== 0) throw new Error(String(stderr));
};

/** Returns the events, and whether a version could be written before and after `fix`. */
async function attempt(fix: () => void) {
  await using local = startLocal(join(folder, "cache"));
  const write = () =>
    local.backup.write(snapshot).then(
      ({ kind }) => kind,
      () => "rejected",
    );
  const before = await write();
  await eventually(() => {
    if (local.events.length === 0) throw new Error("the folder is still being opened");
  });
  fix();
  const after = await eventually(
    async () => {
      const written = await write();
      if (written === "rejected") throw new Error(JSON.stringify(local.events));
      return written;
    },
    { withinMs: 20_000, everyMs: 100 },
  );
  return { before, after, events: local.events };
}

function fill(): void {
  try {
    writeFileSync(filler, new Uint8Array(4 * 1024 * 1024));
  } catch {
    // The disk is full now.
  }
}

const obstacles: Readonly<Record<string, { readonly make: () => void; readonly fix: () => void }>> = {
  "read-only": { make: () => remount("ro"), fix: () => remount("rw") },
  full: { make: fill, fix: () => rmSync(filler) },
  forbidden: { make: () => chmodSync(folder, 0o000), fix: () => chmodSync(folder, 0o700) },
};
const { make, fix } = obstacles[obstacle] ?? {};
make?.();
console.log(JSON.stringify(await attempt(() => fix?.())));
