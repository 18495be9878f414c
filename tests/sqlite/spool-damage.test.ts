import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import {
  ANYTHING,
  batchOf,
  eventBatch,
  eventGroup,
  eventText,
  largeEvent,
} from "../support/log-events/event-batches.ts";
import { detailOf, drain, openSpool, spoolFileIn } from "../support/sqlite/event-spools.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const [a, b] = [eventGroup("a"), eventGroup("b")];
/** A folder with an intact spool: 20 batches of two groups that alternate. */
async function writtenFolder(): Promise<string> {
  const folder = newFolder();
  await using opened = await openSpool(folder);
  for (let at = 0; at < 20; at++) {
    await opened.spool.put(batchOf(at % 2 === 0 ? a : b, [`"${at}"`, largeEvent(10_000)], Date.now()));
  }
  return folder;
}

/** Has another program change an intact file. */
async function changed(sql: string): Promise<string> {
  const folder = await writtenFolder();
  const db = new DatabaseSync(spoolFileIn(folder));
  db.exec(`PRAGMA journal_mode = DELETE; ${sql}`);
  db.close();
  return folder;
}

describe("a corrupt file is renamed when it is opened, and replaced by a new one", () => {
  const garbage = () => {
    const folder = newFolder();
    writeFileSync(spoolFileIn(folder), "garbage ".repeat(2_000));
    return folder;
  };
  const cut = async () => {
    const folder = await writtenFolder();
    truncateSync(spoolFileIn(folder), readFileSync(spoolFileIn(folder)).length / 2);
    return folder;
  };

  test.each([
    ["garbage", garbage, /file is not a database/],
    ["a file cut to half its length", cut, /malformed|page|not a database/],
    ["one of another version", () => changed("PRAGMA user_version = 99"), /has version 99/],
    ["another program's", () => changed("PRAGMA application_id = 42"), /another program's database/],
    [
      "one with other columns",
      () => changed("ALTER TABLE batch RENAME COLUMN body TO corpse"),
      /no such column/,
    ],
  ])("%s", async (_, make, why) => {
    const folder = await make();
    const bytes = readFileSync(spoolFileIn(folder));
    await using opened = await openSpool(folder);
    const { spool, events } = opened;
    expect(events).toMatchObject([{ kind: "spool_corrupt_set_aside" }]);
    expect(detailOf(events)).toMatch(why);
    const [aside = ""] = readdirSync(folder).filter((name) => name.includes(".corrupt-"));
    expect(readFileSync(join(folder, aside)).equals(bytes)).toBe(true);
    expect(spool.depth.batches).toBe(0);
    expect(await spool.put(eventBatch(a, ["1"], Date.now()))).toBe("queued");
    expect(await drain(spool)).toEqual(new Map([[a.metadata, [eventText("1")]]]));
  });
});

describe("corruption that SQLite does not notice", () => {
  test("a flipped bit loses one batch, which is counted, and nothing corrupt is forwarded", async () => {
    const folder = await writtenFolder();
    const bytes = readFileSync(spoolFileIn(folder));
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(spoolFileIn(folder), bytes);
    await using opened = await openSpool(folder);
    const { spool, events } = opened;
    const drained = [...(await drain(spool)).values()].flat();
    expect(drained).toHaveLength(38);
    expect(drained.every((event) => JSON.parse(event) !== undefined)).toBe(true);
    expect(events).toMatchObject([{ kind: "spool_dropped", events: 2, reason: "damage" }]);
    expect(spool.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
  });

  test("a group that can't be read loses its events, but no others", async () => {
    const folder = await changed("UPDATE event_group SET identity = 'nonsense' WHERE id = 1");
    await using opened = await openSpool(folder);
    const { spool, events } = opened;
    expect(await spool.claim(ANYTHING)).toMatchObject({ group: b });
    expect(await spool.claim(ANYTHING)).toBeUndefined();
    expect(events).toMatchObject([{ kind: "spool_dropped", events: 20, reason: "damage" }]);
    expect(spool.depth).toMatchObject({ batches: 10, events: 20 });
    await spool.put(eventBatch(a, ["1"], Date.now()));
    expect(await spool.claim(ANYTHING)).toMatchObject({ group: a, events: [eventText("1")] });
  });
});

test("a file that is overwritten while it is used is renamed, and the lost events are counted", async () => {
  const folder = await writtenFolder();
  await using opened = await openSpool(folder);
  const { spool, events } = opened;
  // By another process: this one would lose its locks on the file when it closes it.
  const nonsense = ["if=/dev/urandom", `of=${spoolFileIn(folder)}`, "bs=4096", "count=60", "conv=notrunc"];
  expect(spawnSync("dd", nonsense).status).toBe(0);
  const delivered = [...(await drain(spool)).values()].flat();
  expect(delivered.every((event) => JSON.parse(event) !== undefined)).toBe(true);
  expect(events).toMatchObject([
    { kind: "spool_corrupt_set_aside" },
    { kind: "spool_dropped", events: 40 - delivered.length, reason: "damage" },
  ]);
  expect(await spool.put(eventBatch(a, ["1"], Date.now()))).toBe("queued");
  expect(await drain(spool)).toEqual(new Map([[a.metadata, [eventText("1")]]]));
});
