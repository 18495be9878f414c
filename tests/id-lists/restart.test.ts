import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import type { ListFileResponse } from "../../src/id-lists/download.ts";
import type { IdListEvent } from "../../src/id-lists/events.ts";
import { ListFileStore } from "../../src/id-lists/file-store.ts";
import { digestFile, ListFolder } from "../../src/id-lists/folder.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";
import { FaultyStorage } from "../support/sqlite/faulty-storage.ts";
import { masked } from "../support/telemetry/status-report.ts";

const key = "secret-restarted-lists";

async function newFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

const start = (upstream: IdListUpstream, folder: string, more: Readonly<Record<string, string>> = {}) =>
  IdListRelay.start({
    upstream,
    folder,
    values: { "proxy-id-lists": "true", "preload-sdk-keys": key, ...more },
  });

/** The host of every file accepts requests and never responds. */
function hangs(upstream: IdListUpstream): AsyncDisposable {
  const never = Promise.withResolvers<undefined>();
  upstream.fault = ({ path }) => (path.startsWith("/files/") ? never.promise : undefined);
  return { [Symbol.asyncDispose]: async () => never.resolve(undefined) };
}

describe("a relay that restarts while the host of the files hangs", () => {
  test("serves every list that is on disk, grown or not, and is ready", async () => {
    await using upstream = new IdListUpstream();
    await using folder = await newFolder();
    for (let at = 0; at < 100; at++) upstream.put(key, `l${at}`, listed(`a${at}`));
    {
      await using relay = await start(upstream, folder.path);
      await eventually(async () => expect(await relay.notReady()).toBe(""));
    }
    for (let at = 0; at < 100; at++) upstream.append(key, `l${at}`, listed(`b${at}`));
    await using _hanging = hangs(upstream);
    await using relay = await start(upstream, folder.path);
    await eventually(async () => expect(await relay.notReady()).toBe(""));
    expect(await relay.onDisk(key)).toHaveLength(100);
    expect(await relay.text(key, "l7")).toBe(listed("a7"));
  }, 60_000);

  test("is not ready during the download of a list that it never had, for at most a minute", async () => {
    await using upstream = new IdListUpstream();
    await using folder = await newFolder();
    upstream.put(key, "had", listed("a"));
    {
      await using relay = await start(upstream, folder.path);
      await eventually(async () => expect(await relay.notReady()).toBe(""));
    }
    upstream.append(key, "had", listed("b"));
    upstream.put(key, "new", listed("c"));
    await using _hanging = hangs(upstream);
    await using relay = await start(upstream, folder.path);
    const reason = `1 of 2 ID lists of ${masked(key)} are not on disk yet`;
    await eventually(async () => expect(await relay.notReady()).toBe(reason));
    relay.clock.wake(60_000);
    await eventually(async () => expect(await relay.notReady()).toBe(""));
    expect(await relay.onDisk(key)).toEqual(["had"]);
  }, 60_000);
});

test("a second key is served a file on disk while what was appended to it is downloaded", async () => {
  await using upstream = new IdListUpstream();
  upstream.put(key, "x", listed("a"));
  await using relay = await IdListRelay.start({ upstream, values: { "proxy-id-lists": "true" } });
  expect(await relay.onDisk(key)).toEqual(["x"]);
  upstream.append(key, "x", listed("b"));
  const entry = upstream.entry(key, "x");
  const never = Promise.withResolvers<undefined>();
  await using _ending = { [Symbol.asyncDispose]: async () => never.resolve(undefined) };
  upstream.fault = ({ path, key: asked }) => {
    if (asked === "secret-second") return Response.json({ x: entry });
    return path.startsWith("/files/") ? never.promise : undefined;
  };
  expect(await relay.onDisk("secret-second")).toEqual(["x"]);
});

test("a list that never fits the budget does not delete others after a restart", async () => {
  await using upstream = new IdListUpstream();
  await using folder = await newFolder();
  upstream.put(key, "big", listed("big"), { size: 999_999_999 });
  for (let at = 0; at < 20; at++) upstream.put(key, `l${at}`, listed(`a${at}`));
  const values = { "id-lists-max-in-mb": "100", "id-list-downloads": "4" };
  const names = Array.from({ length: 20 }, (_, at) => `l${at}`);
  {
    await using relay = await start(upstream, folder.path, values);
    await eventually(async () => expect(await relay.onDisk(key)).toEqual(names));
  }
  upstream.fault = ({ path }) =>
    path.startsWith("/files/") ? new Response("down", { status: 503 }) : undefined;
  await using relay = await start(upstream, folder.path, values);
  await eventually(async () => expect(await relay.notReady()).toBe(""));
  expect(await relay.onDisk(key)).toEqual(names);
}, 60_000);

test("the oldest files that no manifest names are deleted for a list that needs room, and no more than needed", async () => {
  await using folder = await newFolder();
  const entry = (fileID: string) => ({
    name: fileID,
    url: `http://h/${fileID}`,
    fileID,
    size: 30,
    creationTime: 1,
  });
  const claimed = ListFolder.claim(folder.path);
  for (const [at, fileID] of ["listed", "old", "new"].entries()) {
    await Bun.write(claimed.toPath(`${digestFile(entry(fileID))}-a${at}-0`), listed("x").repeat(3));
  }
  const source = {
    fetchFile: async () => ({ kind: "whole", chunks: chunks(listed("y").repeat(3)) }) as const,
  };
  const emit = () => {};
  const options = { source, clock: systemClock, supervisor: strictSupervisor(), emit, maxDownloads: 1 };
  await using files = new ListFileStore({ folder: claimed, ...options, maxBytes: 90 });
  const [kept, fetched] = [files.findOrAdd(entry("listed")), files.findOrAdd(entry("fetched"))];
  for (const file of [kept, fetched]) files.use(file);
  await files.update(fetched, entry("fetched"), key as SdkKey);
  expect(fetched.isWhole).toBe(true);
  const left = claimed.files().map((name) => name.slice(0, 64));
  expect(left.sort()).toEqual(["listed", "new", "fetched"].map((fileID) => digestFile(entry(fileID))).sort());
});

describe("a file from before a restart", () => {
  const entry = { name: "n", url: "http://h/n", fileID: "n", size: 10, creationTime: 1 };
  const name = `${digestFile(entry)}-a-0`;

  async function openFileStore(root: string, text: string, code: string, answer: () => ListFileResponse) {
    const folder = ListFolder.claim(root);
    await Bun.write(folder.toPath(name), text);
    const storage = new FaultyStorage(folder);
    storage.fault = (call) => (call === (code === "EIO" ? "read" : "open") ? code : undefined);
    const events: IdListEvent[] = [];
    const files = new ListFileStore({
      folder: storage,
      source: { fetchFile: async () => answer() },
      clock: systemClock,
      supervisor: strictSupervisor(),
      emit: (event) => void events.push(event),
      maxBytes: 1_000,
      maxDownloads: 1,
    });
    const file = files.findOrAdd(entry);
    files.use(file);
    const bring = () => files.update(file, entry, key as SdkKey);
    return { files, storage, folder, file, events, bring };
  }
  const down = (): ListFileResponse => ({ kind: "failed", detail: "down" });

  test.each(["EMFILE", "EIO", "EACCES"])(
    "stays and is reported if reading it fails with %s, and is served when it can be read",
    async (code) => {
      await using root = await newFolder();
      const { files, storage, folder, file, events, bring } = await openFileStore(
        root.path,
        listed("x"),
        code,
        down,
      );
      await using _files = files;
      await bring();
      expect(file.isWhole).toBe(false);
      expect(folder.files()).toEqual([name]);
      expect(
        events.some((event) => event.kind === "id_list_file_failed" && event.detail.includes(code)),
      ).toBe(true);
      storage.fault = () => undefined;
      files.sweep();
      await bring();
      expect([file.isWhole, file.bytes, file.problem]).toEqual([true, 10, undefined]);
      expect(folder.files()).toEqual([name]);
    },
  );

  test("is deleted if it cannot be read and was downloaded again", async () => {
    await using root = await newFolder();
    const answer = (): ListFileResponse => ({ kind: "whole", chunks: chunks(listed("x")) });
    const { files, storage, folder, file, bring } = await openFileStore(
      root.path,
      listed("x"),
      "EIO",
      answer,
    );
    await using _files = files;
    storage.fault = (call, of) => (call === "read" && of === name ? "EIO" : undefined);
    await bring();
    expect([file.isWhole, file.problem]).toEqual([true, undefined]);
    expect(folder.files()).toEqual([file.name ?? ""]);
    expect(file.name).not.toBe(name);
    expect(files.status.bytes).toBe(10);
  });

  test("is deleted if it is not an ID list", async () => {
    await using root = await newFolder();
    const { files, storage, folder, bring } = await openFileStore(root.path, "garbage\n", "EIO", down);
    await using _files = files;
    storage.fault = () => undefined;
    await bring();
    expect(folder.files()).toEqual([]);
  });
});

test.each([10, 5_000])(
  "a list of %d bytes that upstream does not send, or that does not fit, causes no sweep of the folder",
  async (size) => {
    await using root = await newFolder();
    const storage = new FaultyStorage(ListFolder.claim(root.path));
    let looks = 0;
    storage.fault = (call) => {
      if (call === "files") looks++;
      return undefined;
    };
    await using files = new ListFileStore({
      folder: storage,
      source: { fetchFile: async () => ({ kind: "failed", detail: "down" }) },
      clock: systemClock,
      supervisor: strictSupervisor(),
      emit: () => {},
      maxBytes: 1_000,
      maxDownloads: 1,
    });
    const entry = { name: "n", url: "http://h/n", fileID: "n", size, creationTime: 1 };
    const file = files.findOrAdd(entry);
    files.use(file);
    files.sweep();
    const atTheStart = looks;
    for (let poll = 0; poll < 3; poll++) {
      await files.update(file, entry, key as SdkKey);
      files.sweep();
    }
    expect(files.status.problems).toHaveLength(1);
    expect(looks).toBe(atTheStart);
  },
);

test("a folder whose lock file is damaged is skipped, and the relay uses the next one", async () => {
  await using upstream = new IdListUpstream();
  await using folder = await newFolder();
  upstream.put(key, "x", listed("a"));
  await Bun.write(join(folder.path, "id-lists", "0", "lock"), "garbage ".repeat(100));
  {
    await using relay = await start(upstream, folder.path);
    await eventually(async () => expect(await relay.onDisk(key)).toEqual(["x"]));
    expect(await relay.text(key, "x")).toBe(listed("a"));
    expect((await relay.manifest(key))["x"]?.url).toStartWith(relay.url);
  }
  await using _hanging = hangs(upstream);
  await using relay = await start(upstream, folder.path);
  await eventually(async () => expect(await relay.text(key, "x")).toBe(listed("a")));
}, 30_000);

test("a download that cannot be written aborts its request", async () => {
  await using root = await newFolder();
  const signals: AbortSignal[] = [];
  const storage = new FaultyStorage(ListFolder.claim(root.path));
  storage.fault = (call) => (call === "open" ? "EACCES" : undefined);
  await using files = new ListFileStore({
    folder: storage,
    source: {
      fetchFile: async (_url, _from, signal) => {
        signals.push(signal);
        return { kind: "whole", chunks: chunks(listed("x")) };
      },
    },
    clock: systemClock,
    supervisor: strictSupervisor(),
    emit: () => {},
    maxBytes: 1_000,
    maxDownloads: 1,
  });
  const entry = { name: "n", url: "http://h/n", fileID: "n", size: 10, creationTime: 1 };
  const file = files.findOrAdd(entry);
  files.use(file);
  await files.update(file, entry, key as SdkKey);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
});

test("relays that share a path find their files in any order of starts, and abandoned files are deleted", async () => {
  await using folder = await newFolder();
  const [first, second] = [ListFolder.claim(folder.path), ListFolder.claim(folder.path)];
  await Bun.write(second.toPath("file"), "+a\n");
  second[Symbol.dispose]();
  first[Symbol.dispose]();
  {
    using _again = ListFolder.claim(folder.path);
    using other = ListFolder.claim(folder.path);
    expect([other.path, ...other.files()]).toEqual([second.path, "file"]);
  }
  using _alone = ListFolder.claim(folder.path, Date.now() + 3 * 3_600_000);
  using left = ListFolder.claim(folder.path);
  expect([left.path, ...left.files()]).toEqual([second.path]);
});

async function* chunks(text: string) {
  yield Buffer.from(text);
}
