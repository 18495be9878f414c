import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LogEventsEvent } from "../../src/log-events/events.ts";
import { EventForwarder } from "../../src/log-events/forwarder.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import {
  ANYTHING,
  eventBatch,
  eventGroup,
  eventText,
  withTexts,
} from "../support/log-events/event-batches.ts";
import { detailOf, drain, openSpool, spooledQueue } from "../support/sqlite/event-spools.ts";
import { startHelper } from "../support/sqlite/helper-process.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const [a, b] = [eventGroup("a"), eventGroup("b")];

const onSmallDisk = (folder: string, ...command: string[]) => {
  const mount = `mount -t tmpfs -o size=3m none ${folder} && exec "$@"`;
  return spawnSync("unshare", ["-rm", "sh", "-c", mount, "sh", ...command], { encoding: "utf8" });
};

describe.skipIf(onSmallDisk(newFolder(), "true").status !== 0)("a full disk", () => {
  test("is reported at each failure; the stored events are forwarded once, and then the spool works again", () => {
    const folder = newFolder();
    const script = join(import.meta.dir, "../support/sqlite", "full-disk-process.ts");
    const { stdout, stderr } = onSmallDisk(folder, process.execPath, script, join(folder, "spool"));
    expect(stderr).toBe("");
    const { full, events, ...rest } = JSON.parse(stdout);
    expect(full).toBeGreaterThan(50);
    expect(rest).toEqual({
      keptAll: true,
      drainedOnce: true,
      again: "queued",
      left: 1,
    });
    const failures = events.length - 1;
    expect(failures).toBeGreaterThan(0);
    expect(events).toEqual([...Array(failures).fill("spool_failing"), "spool_recovered"]);
  });
});

describe("a spool that can't be used emits one event, and events wait in memory, for", () => {
  const folder = newFolder();
  const regularFile = join(folder, "regular");
  writeFileSync(regularFile, "not mine");
  mkdirSync(join(folder, "taken", "events.sqlite"), { recursive: true });

  test.each([
    ["a file in place of the folder", regularFile, /a part of the path is a file/],
    ["a place where there are no files", "/proc/statsig", /the folder can't be created/],
    ["a folder in place of the file", join(folder, "taken"), /not a regular file: remove it/],
  ])("%s", async (_, path, why) => {
    await using opened = spooledQueue(path);
    const { queue, events } = opened;
    expect(await queue.put(eventBatch(a, ["1"], Date.now()))).toBe("queued");
    expect(queue.isDurable).toBe(false);
    expect(await drain(withTexts(queue))).toEqual(new Map([[a.metadata, [eventText("1")]]]));
    await eventually(() => expect(events).toMatchObject([{ kind: "spool_unusable" }]));
    expect(detailOf(events)).toMatch(why);
    expect(detailOf(events)).toMatch(
      /^the event spool \/.*sqlite: .*; the relay keeps events in memory only and tries again$/,
    );
    expect(await Bun.file(regularFile).text()).toBe("not mine");
  });

  test("another process that uses it, which is named; events in memory are moved to the spool later", async () => {
    const folder = newFolder();
    await using first = await startHelper("spool-user-process.ts", folder);
    await using opened = spooledQueue(folder);
    const { queue, events } = opened;
    expect(await queue.put(eventBatch(a, ["1", "2"], Date.now()))).toBe("queued");
    await eventually(() => expect(events).toHaveLength(1), { withinMs: 20_000 });
    expect(detailOf(events)).toContain(`events.sqlite: locked by bun (process ${first.pid});`);
    const onItsWay = await queue.claim(ANYTHING);
    if (onItsWay === undefined) throw new Error("nothing was taken");
    expect(await queue.put(eventBatch(b, ["3"], Date.now()))).toBe("queued");
    first.hang();
    expect(queue.isDurable).toBe(false);
    await first[Symbol.asyncDispose]();
    await eventually(() => expect(events.at(-1)).toEqual({ kind: "spool_usable" }), { withinMs: 20_000 });
    await queue.nack(onItsWay);
    await eventually(() => expect(queue.isDurable).toBe(true), { withinMs: 20_000 });
    expect(queue.depth).toMatchObject({ events: 4 });
    await opened[Symbol.asyncDispose]();
    await using again = await openSpool(folder);
    // One event is from the first process, which was killed.
    expect(await drain(again.spool)).toEqual(
      new Map([
        [eventGroup("first").metadata, [eventText("of the first")]],
        [a.metadata, [eventText("1"), eventText("2")]],
        [b.metadata, [eventText("3")]],
      ]),
    );
  }, 60_000);

  test("events that were being sent when the spool opened are kept when the relay stops", async () => {
    const folder = newFolder();
    await using first = await startHelper("spool-user-process.ts", folder);
    await using opened = spooledQueue(folder);
    const { queue, events } = opened;
    const reported: LogEventsEvent[] = [];
    let requests = 0;
    await using forwarder = new EventForwarder({
      queue,
      settle: () => queue.settle(),
      sink: {
        async send() {
          requests++;
          return { kind: "retry", trouble: "upstream", detail: "upstream is down" };
        },
      },
      clock: systemClock,
      supervisor: strictSupervisor(),
      emit: (event) => void reported.push(event),
      flushIntervalMs: 1,
    });
    forwarder.start();
    await queue.put(eventBatch(a, ["1", "2"], Date.now()));
    await eventually(() => expect(requests).toBeGreaterThan(0), { withinMs: 20_000 });
    await first[Symbol.asyncDispose]();
    await eventually(() => expect(events.at(-1)).toEqual({ kind: "spool_usable" }), { withinMs: 20_000 });
    await queue.put(eventBatch(b, ["3"], Date.now()));
    await forwarder.flush(AbortSignal.abort());
    // One event is from the first process, which was killed.
    const left = reported.filter(({ kind }) => kind === "log_events_left");
    expect(left).toEqual([{ kind: "log_events_left", events: 4, outcome: "kept" }]);
    await opened[Symbol.asyncDispose]();
    await using again = await openSpool(folder);
    const kept = await drain(again.spool);
    expect(kept.get(a.metadata)).toEqual([eventText("1"), eventText("2")]);
    expect(kept.get(b.metadata)).toEqual([eventText("3")]);
  }, 60_000);

  test("another relay of the same process: puts of the first one continue", async () => {
    const folder = newFolder();
    await using first = await openSpool(folder);
    await using second = spooledQueue(folder);
    await second.queue.put(eventBatch(b, ["waits"], Date.now()));
    expect(await first.spool.put(eventBatch(a, ["1"], Date.now()))).toBe("queued");
    await eventually(() => expect(second.events).toMatchObject([{ kind: "spool_unusable" }]), {
      withinMs: 20_000,
    });
    expect(first.events).toEqual([]);
  }, 30_000);
});

test("a folder that is deleted is created again, and the lost events are counted", async () => {
  const folder = newFolder();
  await using opened = await openSpool(folder);
  const { spool, events } = opened;
  const lost = eventBatch(a, ["1", "2"], Date.now());
  await spool.put(lost);
  const taken = await spool.claim(ANYTHING);
  rmSync(folder, { recursive: true });
  expect(await spool.put(eventBatch(b, ["3"], Date.now()))).toBe("queued");
  expect(events).toEqual([{ kind: "spool_dropped", events: 2, bytes: lost.bytes, reason: "damage" }]);
  if (taken === undefined) throw new Error("nothing was taken");
  await spool.ack(taken);
  expect(spool.depth).toMatchObject({ batches: 1, events: 1 });
  await spool[Symbol.asyncDispose]();
  await using again = await openSpool(folder);
  expect(await drain(again.spool)).toEqual(new Map([[b.metadata, [eventText("3")]]]));
});
