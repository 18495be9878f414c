// Run with a file system of its own on <folder>, which is 2 MB large. Uses a local backup while the file system is
// read-only, while it is full, and after that; says what came of it.
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startLocal } from "./local-backups.ts";
import { preparedSnapshot } from "./prepared-snapshots.ts";
import { feedOf } from "./snapshots.ts";
import { eventually } from "./wait.ts";

const [folder = ""] = process.argv.slice(2);
const filler = join(folder, "filler");
const snapshot = await preparedSnapshot(feedOf("secret-unwritable"), 1);
const remount = (mode: "ro" | "rw") => {
  const { status, stderr } = spawnSync("mount", ["-o", `remount,${mode}`, folder]);
  if (status !== 0) throw new Error(String(stderr));
};

/** What is reported in the end, and whether a version could be written before and after `mend`. */
async function attempt(mend: () => void) {
  await using local = startLocal(join(folder, "cache"));
  const write = () =>
    local.backup.write(snapshot).then(
      ({ kind }) => kind,
      () => "rejected",
    );
  const before = await write();
  mend();
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

remount("ro");
const readOnly = await attempt(() => remount("rw"));
rmSync(join(folder, "cache"), { recursive: true });
try {
  writeFileSync(filler, new Uint8Array(4 * 1024 * 1024));
} catch {
  // It is full now.
}
const full = await attempt(() => rmSync(filler));
console.log(JSON.stringify({ readOnly, full }));
