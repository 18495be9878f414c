// Run by VersionWriter: <folder, or port of a Redis> <SDK key> <first lcut> <versions>
import { writeSync } from "node:fs";
import { DEFAULT_REDIS_OPTIONS } from "../../../src/redis/options.ts";
import type { SpecBackup } from "../../../src/specs/backup.ts";
import { RedisUse } from "../redis/redis-uses.ts";
import { openLocal } from "../sqlite/local-backups.ts";
import { preparedSnapshot } from "./prepared-snapshots.ts";
import { feedOf } from "./snapshots.ts";

const [place = "", sdkKey = "", firstLcut = "", versions = ""] = process.argv.slice(2);
const feed = feedOf(sdkKey);

// Prepared in advance, so that the process spends nearly all its time writing. Each version is larger than the one before.
const snapshots = await Promise.all(
  Array.from({ length: Number(versions) }, (_, at) =>
    preparedSnapshot(feed, Number(firstLcut) + at, { bytes: 5_000 + at * 500 }),
  ),
);

await using stack = new AsyncDisposableStack();
const backup = await open(stack);
for (const snapshot of snapshots) {
  const { kind } = await backup.write(snapshot);
  if (kind !== "written") throw new Error(`${snapshot.lcut}: ${kind}`);
  // Written synchronously, without a buffer: the acknowledgment must survive a SIGKILL.
  writeSync(1, `${snapshot.lcut}\n`);
}

async function open(owner: AsyncDisposableStack): Promise<SpecBackup> {
  if (!/^\d+$/.test(place)) return owner.use(await openLocal(place)).backup;
  const address = { kind: "single", host: "127.0.0.1", port: Number(place), db: 0 } as const;
  return owner.use(new RedisUse({ ...DEFAULT_REDIS_OPTIONS, address })).backup();
}
