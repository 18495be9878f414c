// Run by LocalWriter: <folder> <SDK key> <first lcut> <versions>
import { writeSync } from "node:fs";
import { openLocal } from "./local-backups.ts";
import { preparedSnapshot } from "./prepared-snapshots.ts";
import { feedOf } from "./snapshots.ts";

const [folder = "", sdkKey = "", firstLcut = "", versions = ""] = process.argv.slice(2);
const feed = feedOf(sdkKey);

// Made beforehand, so that nearly all of the time is spent writing. Each is larger than the one before.
const snapshots = await Promise.all(
  Array.from({ length: Number(versions) }, (_, at) =>
    preparedSnapshot(feed, Number(firstLcut) + at, { bytes: 5_000 + at * 500 }),
  ),
);

await using local = await openLocal(folder);
for (const snapshot of snapshots) {
  const { kind } = await local.backup.write(snapshot);
  if (kind !== "written") throw new Error(`${snapshot.lcut}: ${kind}`);
  // At once, past any buffer of this process: what was acknowledged must be known after a SIGKILL.
  writeSync(1, `${snapshot.lcut}\n`);
}
if (local.events.length > 0) throw new Error(JSON.stringify(local.events));
