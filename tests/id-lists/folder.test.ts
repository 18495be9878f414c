import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { chmodSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import type { IdListEvent } from "../../src/id-lists/events.ts";
import { ListFileStore } from "../../src/id-lists/file-store.ts";
import { ListFolder } from "../../src/id-lists/folder.ts";
import { type Manifest, parseManifest } from "../../src/id-lists/manifest.ts";
import { ProxiedLists } from "../../src/id-lists/proxied-lists.ts";
import { ManifestStore } from "../../src/id-lists/store.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { IdListFiles } from "../../src/upstream/id-lists.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";
import { AS_ANYBODY } from "../support/relay/as-anybody.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { FaultyStorage } from "../support/sqlite/faulty-storage.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";

const key = "secret-folder-lists" as SdkKey;
const first = listed("acme");
const more = listed("globex");

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const newFolder = () => mkdtemp(join(root, "folder-"));
const slot = (folder: string) => join(folder, "id-lists", "0");
const filesOf = (folder: string) => readdirSync(slot(folder)).filter((name) => !name.startsWith("lock"));

interface RunOptions {
  readonly through?: readonly string[];
  readonly args?: readonly string[];
}

function start(upstream: IdListUpstream, folder: string, { through = [], args = [] }: RunOptions = {}) {
  return startManagedRelay({
    mode: "http",
    args: ["--proxy-id-lists", "--preload-sdk-keys", key, "--local-cache-path", folder, ...args],
    env: { STATSIG_ENDPOINT: upstream.url },
    // Config specs are stale, which is another problem, after three intervals.
    pollIntervalS: 10,
    through,
  });
}

async function entriesOf({ relay }: ManagedRelay, sdkKey: string = key) {
  const answer = await fetch(`${relay.httpUrl}/v1/get_id_lists/${sdkKey}.json`);
  return (await answer.json()) as Record<string, { url: string; size: number }>;
}

/** Another key, whose request updates the files without waiting for a poll. */
async function textOf(managed: ManagedRelay, sdkKey: string, name: string): Promise<string> {
  const entry = (await entriesOf(managed, sdkKey))[name];
  return (await fetch(entry?.url ?? "")).text();
}

describe("a relay without permission", () => {
  test("to read a file reports the list and the error, serves the others, and downloads it again", async () => {
    await using upstream = new IdListUpstream();
    for (const name of ["one", "two"]) upstream.put(key, name, first, { fileID: name });
    const folder = await newFolder();
    await using managed = await start(upstream, folder, { through: AS_ANYBODY });
    await reported(managed, ({ state }) => expect(state).toBe("ok"));
    const { one, two } = await entriesOf(managed);
    const [file = ""] = filesOf(folder).filter((name) => statSync(join(slot(folder), name)).size > 0);
    chmodSync(join(slot(folder), file), 0);
    const answers = await Promise.all([one, two].map((entry) => fetch(entry?.url ?? "")));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 503]);
    const report = await reported(managed, ({ problems }) => expect(problems).toHaveLength(1));
    expect(problemsOf(report)[0]?.[1]).toMatch(/^1 ID list is not up to date: (one|two)$/);
    expect(report.problems[0]?.detail).toMatch(/^(one|two): cannot read the file: Error: EACCES/);
    await eventually(() => expect(managed.relay.output()).toMatch(/ID list file not updated.*EACCES/));

    // A key with the same files causes the next update.
    const url = (name: string) => upstream.entry(key, name);
    upstream.fault = ({ key: asked }) =>
      asked === "secret-next-round" ? Response.json({ one: url("one"), two: url("two") }) : undefined;
    await eventually(async () => {
      expect(await textOf(managed, "secret-next-round", "one")).toBe(first);
      expect(await textOf(managed, "secret-next-round", "two")).toBe(first);
    });
    await reported(managed, ({ state }) => expect(state).toBe("ok"));
  }, 40_000);

  test("to write to the folder serves what is on disk, and reports and names what is missing", async () => {
    await using upstream = new IdListUpstream();
    upstream.put(key, "one", first, { fileID: "one" });
    const folder = await newFolder();
    await using managed = await start(upstream, folder, { through: AS_ANYBODY });
    await reported(managed, ({ state }) => expect(state).toBe("ok"));
    chmodSync(slot(folder), 0o500);
    upstream.put("secret-later", "new", more, { fileID: "new" });
    expect((await entriesOf(managed, "secret-later"))["new"]?.size).toBe(0);
    expect(await textOf(managed, key, "one")).toBe(first);
    const report = await reported(managed, ({ problems }) => expect(problems).toHaveLength(1));
    expect(report.problems[0]?.detail).toMatch(/^new: .*EACCES/);
    chmodSync(slot(folder), 0o700);
    // A key with the same file causes the next update.
    const entry = upstream.entry("secret-later", "new");
    upstream.fault = ({ key: asked }) =>
      asked === "secret-last" ? Response.json({ new: entry }) : undefined;
    expect(await textOf(managed, "secret-last", "new")).toBe(more);
    await reported(managed, ({ state }) => expect(state).toBe("ok"));
  }, 40_000);
});

const onSmallDisk = (folder: string) => [
  ...["unshare", "-rm", "sh", "-c"],
  `mount -t tmpfs -o size=1m none ${folder} && exec "$@"`,
  "sh",
];
const hasSmallDisks = Bun.spawnSync([...onSmallDisk(tmpdir()), "true"]).exitCode === 0;

test.skipIf(!hasSmallDisks)(
  "a disk that is full: the lists that fit are served, the others are reported",
  async () => {
    await using upstream = new IdListUpstream();
    upstream.put(key, "large", first.repeat(200_000), { fileID: "large" });
    upstream.put(key, "one", first, { fileID: "one" });
    const folder = await newFolder();
    await using managed = await start(upstream, folder, { through: onSmallDisk(folder) });
    // Errors of a file handle name the reason on Deno, without its code.
    const reason = isOnDeno ? "No space left on device" : "ENOSPC";
    await reported(managed, ({ id_lists }) => {
      const failing = id_lists?.failing ?? [];
      expect(failing.some(({ list, detail }) => list === "large" && detail.includes(reason))).toBe(true);
    });
    expect(Object.keys(await entriesOf(managed))).toEqual(["large", "one"]);
  },
  40_000,
);

test("a relay that was killed during a download deletes the part when it starts again", async () => {
  await using upstream = new IdListUpstream();
  upstream.put(key, "one", first + more, { fileID: "one" });
  const folder = await newFolder();
  const never = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(Buffer.from(first))),
    pull: () => new Promise(() => {}),
  });
  upstream.fault = ({ path }) => (path.startsWith("/files/") ? new Response(never) : undefined);
  {
    await using managed = await start(upstream, folder);
    await eventually(
      () => expect(filesOf(folder).map((name) => statSync(join(slot(folder), name)).size)).toEqual([10]),
      { withinMs: 15_000 },
    );
    expect(filesOf(folder)[0]).toEndWith(".part");
    await managed.relay.kill();
  }
  upstream.fault = () => undefined;
  await using managed = await start(upstream, folder);
  const report = await reported(managed, ({ state }) => expect(state).toBe("ok"));
  expect(report.id_lists).toMatchObject({ files: 1, bytes: (first + more).length });
  expect(filesOf(folder)).toHaveLength(1);
  expect(filesOf(folder)[0]).not.toEndWith(".part");
}, 40_000);

test("clients that disconnect in the middle of a file leave no open file, and no problem", async () => {
  await using upstream = new IdListUpstream();
  upstream.put(key, "one", first.repeat(2_000_000), { fileID: "one" });
  const folder = await newFolder();
  await using managed = await start(upstream, folder);
  await reported(managed, ({ state }) => expect(state).toBe("ok"));
  const { one } = await entriesOf(managed);
  const before = managed.relay.openDescriptors();
  const readers = await Promise.all(Array.from({ length: 20 }, () => beginReading(one?.url ?? "")));
  // A socket and a file for each.
  expect(managed.relay.openDescriptors()).toBeGreaterThanOrEqual(before + 40);
  for (const socket of readers) socket.destroy();
  await eventually(() => expect(managed.relay.openDescriptors()).toBeLessThan(before + 5), {
    withinMs: 15_000,
  });
  expect((await managed.status()).problems).toEqual([]);
}, 40_000);

/** Requests a file, and stops reading after the first bytes, so that the rest waits in the relay. */
async function beginReading(url: string): Promise<Socket> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => {});
  socket.write(`GET ${pathname} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await once(socket, "data");
  socket.pause();
  return socket;
}

describe("a folder whose disk fails", () => {
  /** Opens a file store with real downloads and a folder that can fail. */
  async function openFileStore(upstream: IdListUpstream) {
    const events: IdListEvent[] = [];
    const folder = await newFolder();
    const storage = new FaultyStorage(ListFolder.claim(folder));
    const store = new ManifestStore({ maxKeys: 1 });
    const files = new ListFileStore({
      folder: storage,
      source: new IdListFiles(systemClock, { relayVersion: "1.2.3" }),
      clock: systemClock,
      supervisor: strictSupervisor(),
      emit: (event) => void events.push(event),
      maxBytes: 1_000_000,
      maxDownloads: 4,
    });
    const lists = new ProxiedLists(files, store);
    const poll = async (names: readonly string[]) => {
      const entries = names.map((name) => [name, upstream.entry(key, name)] as const);
      store.put(key, parseManifest(JSON.stringify(Object.fromEntries(entries))) as Manifest);
      await lists.ready(key);
    };
    const served = () => {
      const held = store.peek(key);
      return held === undefined ? [] : lists.servedLists(held).map(({ name, kind }) => `${name} ${kind}`);
    };
    return { events, storage, files, folder, poll, served };
  }

  test.each([
    ["EIO", 2],
    ["EMFILE", 1],
  ] as const)(
    "%s while a client reads: the list is reported, and downloaded again if the file is at fault",
    async (code, downloads) => {
      await using upstream = new IdListUpstream();
      upstream.put(key, "one", first, { fileID: "one" });
      const { files, folder, poll, served } = await openFileStore(upstream);
      await using _files = files;
      await poll(["one"]);
      const found = files.find("one");
      if (found === undefined) throw new Error("the list is not there");
      files.reportUnreadable(found.file.digest, { code, detail: `Error: ${code}: read` });
      expect(files.status.problems).toMatchObject([
        { list: "one", detail: `cannot read the file: Error: ${code}: read` },
      ]);
      expect(served()).toEqual(["one on_disk"]);
      await poll(["one"]);
      expect(files.status.problems).toEqual([]);
      expect(served()).toEqual(["one on_disk"]);
      expect(upstream.rangesAsked()).toEqual(Array(downloads).fill(null));
      expect(files.status.bytes).toBe(downloads * first.length);
      expect(filesOf(folder)).toHaveLength(downloads);
    },
  );

  test.each([
    ["EIO", "write"],
    ["EIO", "datasync"],
    ["ESTALE", "open"],
    ["ESTALE", "rename"],
    ["ESTALE", "findSize"],
    ["EACCES", "isReadable"],
  ] as const)(
    "%s of %s: the list is reported with the error, others are served, and it recovers",
    async (code, call) => {
      await using upstream = new IdListUpstream();
      for (const name of ["one", "two"]) upstream.put(key, name, first, { fileID: name });
      const { events, storage, files, folder, poll, served } = await openFileStore(upstream);
      await using _files = files;
      await poll(["one"]);
      upstream.append(key, "one", more);
      storage.fault = (called) => (called === call ? code : undefined);
      await poll(["one", "two"]);
      expect(served()[0]).toBe("one on_disk");
      expect(served()).toHaveLength(2);
      expect(files.status.problems.map(({ detail }) => detail).join()).toContain(code);
      expect(
        events.some((event) => event.kind === "id_list_file_failed" && event.detail.includes(code)),
      ).toBe(true);
      storage.fault = () => undefined;
      await poll(["one", "two"]);
      expect(served()).toEqual(["one on_disk", "two on_disk"]);
      expect(files.status).toEqual({ files: 2, bytes: 3 * first.length, problems: [] });
      expect(filesOf(folder)).toHaveLength(2);
    },
  );

  test.each([
    [100_000, 0],
    [100_000, 25_000],
  ])(
    "a disk that fills up in the middle of a line, after %d bytes of a file with %d: what is kept ends with a line, and the rest follows later",
    async (room, before) => {
      await using upstream = new IdListUpstream();
      const lines = (count: number) =>
        Array.from({ length: count }, (_, at) => `+${100_000 + at}\n`).join("");
      const text = lines(50_000);
      upstream.put(key, "one", text.slice(0, before * 8), { fileID: "one" });
      const { storage, files, poll, served } = await openFileStore(upstream);
      await using _files = files;
      if (before > 0) await poll(["one"]);
      upstream.append(key, "one", text.slice(before * 8));
      storage.room = room;
      await poll(["one"]);
      expect(files.status.problems.map(({ detail }) => detail).join()).toContain("ENOSPC");
      storage.room = Number.POSITIVE_INFINITY;
      await poll(["one"]);
      expect(files.status).toEqual({ files: 1, bytes: text.length, problems: [] });
      expect(served()).toEqual(["one on_disk"]);
      expect(readFileSync(files.find("one")?.path ?? "", "utf8")).toBe(text);
    },
  );
});
