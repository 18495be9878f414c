import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KeyAdmission, KeyGate } from "../../src/access/admission.ts";
import { AllowList } from "../../src/access/allow-list.ts";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { ListFileStore } from "../../src/id-lists/file-store.ts";
import { ListFolder } from "../../src/id-lists/folder.ts";
import { type Manifest, parseManifest } from "../../src/id-lists/manifest.ts";
import { OnDemandFiles } from "../../src/id-lists/on-demand.ts";
import { ProxiedLists } from "../../src/id-lists/proxied-lists.ts";
import { IdListQuery } from "../../src/id-lists/query.ts";
import { type IdListService, LocalIdLists } from "../../src/id-lists/service.ts";
import { type HeldManifest, ManifestStore } from "../../src/id-lists/store.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { IdListFiles } from "../../src/upstream/id-lists.ts";
import { acrossThreads, type UnportableMethods } from "../support/common/plain-data.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { FileUpstream } from "../support/id-lists/file-upstream.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";

const clock = systemClock;
const key = "secret-lists" as SdkKey;
const other = "secret-other" as SdkKey;
const unknown = "secret-unknown" as SdkKey;
const acme = listed("acme");

let stack: AsyncDisposableStack;
let folder: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), "sfp-id-list-service-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
});

afterEach(() => stack.disposeAsync());

function openFiles(): ListFileStore {
  const source = new IdListFiles(clock, { relayVersion: "1" });
  const parts = { source, clock, supervisor: strictSupervisor(), emit: () => {} };
  const limits = { maxBytes: 1_000_000, maxDownloads: 4 };
  return stack.use(new ListFileStore({ folder: ListFolder.claim(folder), ...parts, ...limits }));
}

/** `unknownKeysPerS` is 0, so that the second unknown key is throttled. */
function openGate(): KeyGate {
  const allowList = new AllowList(undefined);
  const admission = new KeyAdmission({ allowList, maxKeys: 1, unknownKeysPerS: 0, clock });
  return new KeyGate({ admission, clock, emit: () => {} });
}

interface Parts {
  readonly files?: ListFileStore;
  readonly onDemand?: OnDemandFiles;
}

function openService({ files, onDemand }: Parts) {
  const store = new ManifestStore({ maxKeys: 10 });
  const proxied = files && new ProxiedLists(files, store);
  const refresher = { refresh: async () => "unauthorized" as const };
  const query = new IdListQuery({
    store,
    refresher,
    clock,
    maxNegativeEntries: 10,
    gate: openGate(),
    proxied,
  });
  const service = acrossThreads<IdListService>(new LocalIdLists({ query, proxied, onDemand }));
  const put = async (sdkKey: SdkKey, manifest: object) => {
    store.put(sdkKey, parseManifest(JSON.stringify(manifest)) as Manifest);
    await proxied?.ready(sdkKey);
  };
  return { service, put };
}

test("arguments and results of every method are plain data", () => {
  const unportable: UnportableMethods<IdListService>[] = [];
  expect(unportable).toEqual([]);
});

test("the types of an instance, a callback, a second argument and a result without a promise are not plain data", () => {
  interface Unportable {
    instance(manifest: HeldManifest & { find(): void }): Promise<void>;
    callback(report: { readonly done: () => void }): Promise<void>;
    two(first: string, second: string): Promise<void>;
    now(): string;
    plain(text: string): Promise<readonly { readonly body: Uint8Array }[]>;
  }
  const unportable: Record<UnportableMethods<Unportable>, true> = {
    instance: true,
    callback: true,
    two: true,
    now: true,
  };
  expect(Object.keys(unportable)).not.toContain("plain");
});

describe("called from another thread, with files of manifests, the service", () => {
  async function open() {
    const upstream = stack.use(new IdListUpstream());
    for (const [sdkKey, body] of [
      [key, acme],
      [other, listed("globex")],
    ] as const) {
      upstream.put(sdkKey, "one", body, { fileID: "a/b ?" });
    }
    const files = openFiles();
    const { service, put } = openService({ files });
    await put(key, { one: upstream.entry(key, "one") });
    return { upstream, files, service, put };
  }

  async function readEntry(service: IdListService, sdkKey: SdkKey) {
    const found = await service.manifest({ sdkKey, filesBase: "https://relay.example" });
    if (found.kind !== "manifest") throw new Error(found.kind);
    return JSON.parse(found.text).one;
  }

  test("names them in the manifest by the base of the caller, and finds them", async () => {
    const { service } = await open();
    const entry = await readEntry(service, key);
    expect(entry).toMatchObject({ name: "one", fileID: "a/b ?", size: acme.length });
    expect(entry.url).toBe("https://relay.example/v1/download_id_list_file/a%2Fb%20%3F");
    const file = await service.file({ fileID: "a/b ?", digest: "" });
    expect(file?.bytes).toBe(acme.length);
    expect(await readFile(file?.path ?? "", "utf8")).toBe(acme);
    expect(await service.file({ fileID: "../lock", digest: "" })).toBeUndefined();
  });

  test("tells files of one fileID apart by the digest of the manifest", async () => {
    const { upstream, service, put } = await open();
    await put(other, { one: upstream.entry(other, "one") });
    const digest = new URL((await readEntry(service, other)).url).searchParams.get("of") ?? "";
    expect(digest).toMatch(/^[\da-f]{16}$/);
    const file = await service.file({ fileID: "a/b ?", digest });
    expect(await readFile(file?.path ?? "", "utf8")).toBe(listed("globex"));
  });

  test("lists a file whose download failed as an empty one", async () => {
    const { service, put } = await open();
    await put(other, {
      one: { name: "one", url: "http://127.0.0.1:1/x", fileID: "x", size: 1, creationTime: 1 },
    });
    expect(await readEntry(service, other)).toEqual({
      name: "one",
      url: "https://relay.example/v1/download_id_list_file/not-on-disk-yet",
      fileID: "not-on-disk-yet",
      size: 0,
      creationTime: 0,
    });
  });

  test("downloads a file again that a thread could not read, and records the error once", async () => {
    const { upstream, files, service, put } = await open();
    const file = await service.file({ fileID: "a/b ?", digest: "" });
    const detail = String(Object.assign(new Error("EIO: read"), { code: "EIO" }));
    await service.reportUnreadable({ digest: file?.digest ?? "", code: "EIO", detail });
    expect(files.status.problems).toMatchObject([
      { list: "one", detail: "cannot read the file: Error: EIO: read" },
    ]);
    await put(key, { one: upstream.entry(key, "one") });
    expect(files.status.problems).toEqual([]);
    expect(upstream.rangesAsked()).toEqual([null, null]);
  });

  test("does nothing about a file that is no longer stored", async () => {
    const { files, service } = await open();
    await service.reportUnreadable({ digest: "0123456789abcdef", code: "ENOENT", detail: "Error: gone" });
    expect(files.status.problems).toEqual([]);
  });

  test("finds no file on demand: that is an error of the caller", async () => {
    const { service } = await open();
    const request = { sdkKey: key, encodedId: "x", query: "", rangeStart: undefined, knownSize: undefined };
    await expect(service.fileOnDemand(request)).rejects.toThrow("on demand");
  });
});

test("called from another thread, without files, the service returns upstream's text, or why there is none", async () => {
  const { service, put } = openService({});
  const manifest = {
    one: { name: "one", url: "https://cdn.example/x", fileID: "x", size: 1, creationTime: 1 },
  };
  await put(key, manifest);
  const ask = (sdkKey: SdkKey) => service.manifest({ sdkKey, filesBase: "http://unused" });
  expect(await ask(key)).toEqual({ kind: "manifest", text: JSON.stringify(manifest) });
  expect(await ask(other)).toEqual({ kind: "unauthorized" });
  expect(await ask(unknown)).toMatchObject({ kind: "throttled", retryAfterMs: expect.any(Number) });
  expect(await service.file({ fileID: "x", digest: "" })).toBeUndefined();
});

test("called from another thread, the service fetches files on demand, and again if one could not be read", async () => {
  const upstream = stack.use(new FileUpstream());
  upstream.files.set("list", acme);
  const onDemand = new OnDemandFiles({
    gate: openGate(),
    openStore: openFiles,
    baseUrl: () => upstream.url,
    clock,
  });
  const { service } = openService({ onDemand });
  const find = (encodedId: string, sdkKey = key) =>
    service.fileOnDemand({ sdkKey, encodedId, query: "", rangeStart: undefined, knownSize: undefined });
  const found = await find("list");
  if (found.kind !== "found") throw new Error(found.kind);
  expect(await readFile(found.file.path, "utf8")).toBe(acme);
  await service.reportUnreadable({ digest: found.file.digest, code: "EIO", detail: "Error: EIO" });
  expect((await find("list")).kind).toBe("found");
  expect(upstream.asked("list")).toHaveLength(2);
  expect(await find("missing")).toMatchObject({ kind: "unavailable", retryAfterMs: 30_000 });
  expect(await find("list", other)).toMatchObject({ kind: "throttled" });
});
