import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../src/clock.ts";
import { openEventSpool } from "../src/local/event-spool.ts";
import type { SpoolEvent } from "../src/local/event-spool-events.ts";
import { ANYTHING, eventBatch, eventGroup, eventText } from "./support/event-batches.ts";
import { detailOf, drain, openSpool } from "./support/event-spools.ts";
import { deleteFolders, newFolder } from "./support/local-backups.ts";
import { strictSupervisor } from "./support/supervisors.ts";

afterAll(deleteFolders);

const HOUR_MS = 3_600_000;
const [a, b] = [eventGroup("a"), eventGroup("b")];

const onSmallDisk = (folder: string, ...command: string[]) => {
  const mount = `mount -t tmpfs -o size=3m none ${folder} && exec "$@"`;
  return spawnSync("unshare", ["-rm", "sh", "-c", mount, "sh", ...command], { encoding: "utf8" });
};

describe.skipIf(onSmallDisk(newFolder(), "true").status !== 0)("a full disk", () => {
  test("is said once; what was kept is forwarded once, and then it works again", () => {
    const folder = newFolder();
    const script = join(import.meta.dir, "support", "full-disk-process.ts");
    const { stdout, stderr } = onSmallDisk(folder, process.execPath, script, join(folder, "spool"));
    expect(stderr).toBe("");
    const { full, ...rest } = JSON.parse(stdout);
    expect(full).toBeGreaterThan(50);
    expect(rest).toEqual({
      keptAll: true,
      drainedOnce: true,
      again: "queued",
      left: 1,
      events: ["spool_failing", "spool_mended"],
    });
  });
});

describe("where it can't be used there is one clear line, and no spool", () => {
  const folder = newFolder();
  const regularFile = join(folder, "regular");
  writeFileSync(regularFile, "not mine");
  mkdirSync(join(folder, "taken", "events.sqlite"), { recursive: true });

  const attempt = async (path: string) => {
    const events: SpoolEvent[] = [];
    const bounds = { maxBytes: 1_000_000, maxBatches: 1_000, maxAgeMs: HOUR_MS };
    const onProblem = (event: SpoolEvent) => events.push(event);
    return {
      spool: await openEventSpool({
        supervisor: strictSupervisor(),
        path,
        ...bounds,
        clock: systemClock,
        onProblem,
      }),
      events,
    };
  };

  test.each([
    ["a file in place of the folder", regularFile, /a part of the path is a file/],
    ["a place where there are no files", "/proc/statsig", /the folder can't be made/],
    [
      "a folder in place of the file",
      join(folder, "taken"),
      /is a folder, socket or the like, not a file: remove it/,
    ],
  ])("%s", async (_, path, why) => {
    const { spool, events } = await attempt(path);
    expect(spool).toBeUndefined();
    expect(events).toMatchObject([{ kind: "spool_unusable" }]);
    expect(detailOf(events)).toMatch(why);
    expect(detailOf(events)).toMatch(
      /^the event spool \/.*sqlite: .*; the relay keeps events in memory only$/,
    );
    expect(await Bun.file(regularFile).text()).toBe("not mine");
  });

  test("another relay that uses it", async () => {
    const folder = newFolder();
    await using first = await openSpool(folder);
    const { spool, events } = await attempt(folder);
    expect(spool).toBeUndefined();
    expect(events).toMatchObject([{ kind: "spool_unusable" }]);
    expect(detailOf(events)).toMatch(/events\.sqlite: another relay uses it;/);
    expect(await first.spool.put(eventBatch(a, ["1"], Date.now()))).toBe("queued");
    expect(first.events).toEqual([]);
  }, 20_000);
});

test("a folder that is deleted is made again; what was in it is counted", async () => {
  const folder = newFolder();
  await using opened = await openSpool(folder);
  const { spool, events } = opened;
  const lost = eventBatch(a, ["1", "2"], Date.now());
  await spool.put(lost);
  const taken = await spool.take(ANYTHING);
  rmSync(folder, { recursive: true });
  expect(await spool.put(eventBatch(b, ["3"], Date.now()))).toBe("queued");
  expect(events).toEqual([{ kind: "spool_dropped", events: 2, bytes: lost.bytes, reason: "damage" }]);
  if (taken === undefined) throw new Error("nothing was taken");
  await spool.remove(taken);
  expect(spool.depth).toMatchObject({ batches: 1, events: 1 });
  await spool[Symbol.asyncDispose]();
  await using again = await openSpool(folder);
  expect(await drain(again.spool)).toEqual(new Map([[b.metadata, [eventText("3")]]]));
});
