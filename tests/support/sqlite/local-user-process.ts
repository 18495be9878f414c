// Keeps a local backup open that holds one version of each key, until it is killed: <folder> <SDK key>... Prints "written".

import { preparedSnapshot } from "../specs/prepared-snapshots.ts";
import { feedOf } from "../specs/snapshots.ts";
import { openLocal } from "./local-backups.ts";

const [folder = "", ...keys] = process.argv.slice(2);
await using local = await openLocal(folder);
for (const key of keys) await local.backup.write(await preparedSnapshot(feedOf(key), 1));
console.log("written");
await new Promise(() => setInterval(() => {}, 60_000));
