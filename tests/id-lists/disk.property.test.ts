import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import type { ListFileResponse, ListFileSource } from "../../src/id-lists/download.ts";
import type { IdListEvent } from "../../src/id-lists/events.ts";
import { ListFileStore } from "../../src/id-lists/file-store.ts";
import { ListFolder } from "../../src/id-lists/folder.ts";
import { type IdListEntry, readManifest } from "../../src/id-lists/manifest.ts";
import { ProxiedLists } from "../../src/id-lists/proxied-lists.ts";
import { ManifestStore } from "../../src/id-lists/store.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { WakingClock } from "../support/common/waking-clock.ts";
import { FaultyStorage, type StorageCall } from "../support/sqlite/faulty-storage.ts";

const MAX_BYTES = 2_000;
const GRACE_MS = 30_000;
const LEFTOVERS_MS = 3_600_000;
const KEYS = ["secret-a", "secret-b"] as const;
const line = (id: number) => `+${String(id).padStart(8, "0")}\n`;

interface UpstreamFile {
  fileID: string;
  text: string;
  hasShrunk: boolean;
  /** Added to the size that the manifest says. */
  lie: number;
}

/** How upstream answers requests for files. */
const ENDINGS = ["good", "good", "cut", "status", "garbage", "ignores_range"] as const;
type Ending = (typeof ENDINGS)[number];

/** A relay's part that keeps files, over real files in a folder that can fail, and an upstream that can lie. */
class Shelf implements AsyncDisposable, ListFileSource {
  readonly clock = new WakingClock();
  readonly #events: IdListEvent[] = [];
  readonly #upstream = new Map<string, Map<string, UpstreamFile>>();
  readonly #root: string;
  #storage: FaultyStorage;
  #store: ManifestStore;
  #shelf: ListFileStore;
  #lists: ProxiedLists;
  #serial = 0;
  #ending: Ending = "good";

  constructor(root: string) {
    this.#root = root;
    for (const key of KEYS) this.#upstream.set(key, new Map());
    [this.#storage, this.#store, this.#shelf, this.#lists] = this.#start();
  }

  #start(): [FaultyStorage, ManifestStore, ListFileStore, ProxiedLists] {
    const storage = new FaultyStorage(ListFolder.claim(this.#root));
    const store = new ManifestStore({ maxKeys: 10 });
    const { clock } = this;
    const emit = (event: IdListEvent) => void this.#events.push(event);
    const supervisor = strictSupervisor(clock);
    const options = { folder: storage, source: this, clock, supervisor, emit };
    const shelf = new ListFileStore({ ...options, maxBytes: MAX_BYTES, maxDownloads: 3 });
    return [storage, store, shelf, new ProxiedLists(shelf, store)];
  }

  async fetchFile(url: string, from: number, signal: AbortSignal): Promise<ListFileResponse> {
    signal.throwIfAborted();
    const [, key = "", name = ""] = new URL(url).pathname.split("/");
    const text = this.#upstream.get(key)?.get(name)?.text;
    if (this.#ending === "status" || text === undefined)
      return { kind: "failed", detail: "upstream answered 500" };
    if (from > 0 && from >= text.length && this.#ending !== "ignores_range")
      return { kind: "beyond", size: text.length };
    const isRest = from > 0 && this.#ending !== "ignores_range";
    const part = isRest ? text.slice(from) : text;
    return { kind: isRest ? "rest" : "whole", chunks: chunksOf(part, this.#ending) };
  }

  put(key: string, name: string, lines: number): void {
    const text = Array.from({ length: lines }, () => line(this.#serial++)).join("");
    this.#upstream.get(key)?.set(name, { fileID: `file-${this.#serial++}`, text, hasShrunk: false, lie: 0 });
  }

  change(key: string, name: string, act: (file: UpstreamFile) => void): void {
    const file = this.#upstream.get(key)?.get(name);
    if (file !== undefined) act(file);
  }

  answers(ending: Ending): void {
    this.#ending = ending;
  }

  lie(key: string, name: string, bytes: number): void {
    this.change(key, name, (file) => {
      file.lie = bytes;
    });
  }

  append(key: string, name: string, lines: number): void {
    this.change(key, name, (file) => {
      // One that shrinks and grows between two polls can't be told from one that only grew.
      if (file.hasShrunk) file.fileID = `file-${this.#serial++}`;
      file.hasShrunk = false;
      file.text += line(this.#serial++).repeat(lines);
    });
  }

  /** What upstream is in the middle of writing. */
  appendHalfALine(key: string, name: string): void {
    this.change(key, name, (file) => {
      if (!file.hasShrunk) file.text += "+12";
    });
  }

  shrink(key: string, name: string): void {
    this.change(key, name, (file) => {
      file.hasShrunk = true;
      file.text = file.text.slice(0, 10 * Math.floor(file.text.length / 30));
    });
  }

  remove(key: string, name: string): void {
    this.#upstream.get(key)?.delete(name);
  }

  forget(key: string): void {
    this.#store.remove(key as SdkKey);
  }

  failing(code: string, calls: readonly StorageCall[]): void {
    this.#storage.fault = (call) => (calls.includes(call) ? code : undefined);
  }

  works(): void {
    this.#storage.fault = () => undefined;
    this.#ending = "good";
  }

  /** A poll of every key. */
  async poll(): Promise<void> {
    for (const key of KEYS) {
      const entries = [...(this.#upstream.get(key) ?? [])].map(([name, { fileID, text, lie }]) => {
        const size = Math.max(0, text.length + lie);
        const entry: IdListEntry = { name, url: `http://up/${key}/${name}`, fileID, size, creationTime: 1 };
        return [name, entry] as const;
      });
      const manifest = readManifest(JSON.stringify(Object.fromEntries(entries)));
      if (typeof manifest === "string") throw new Error(manifest);
      this.#store.put(key as SdkKey, manifest);
    }
    for (const key of KEYS) await this.#lists.ready(key as SdkKey);
  }

  /** As a process that is killed: nothing is tidied up. */
  async restart(): Promise<void> {
    await this.#shelf[Symbol.asyncDispose]();
    [this.#storage, this.#store, this.#shelf, this.#lists] = this.#start();
  }

  async later(ms: number): Promise<void> {
    this.clock.wake(ms);
    await Bun.sleep(1);
  }

  /** What the folder holds: the bytes of each file. */
  onDisk(): ReadonlyMap<string, number> {
    const folder = join(this.#root, "id-lists", "0");
    const names = readdirSync(folder).filter((name) => !name.startsWith("lock"));
    return new Map(names.map((name) => [name, statSync(join(folder, name)).size]));
  }

  get countedBytes(): number {
    return this.#shelf.status.bytes;
  }

  /** Of each list that is served: its text, and that of upstream. */
  served(): { readonly text: string; readonly upstream: string; readonly name: string }[] {
    return KEYS.flatMap((key) => {
      const held = this.#store.peek(key as SdkKey);
      if (held === undefined) return [];
      return this.#lists.listsOf(held).flatMap((list) => {
        if (list.kind === "missing") return [];
        const { path } = this.#lists.find(list.file.fileID, list.file.digest) ?? {};
        const text = readFileSync(path ?? "", "utf8").slice(0, list.file.bytes);
        return [{ name: list.name, text, upstream: this.#upstream.get(key)?.get(list.name)?.text ?? "" }];
      });
    });
  }

  get wanted(): number {
    return KEYS.reduce((sum, key) => sum + (this.#upstream.get(key)?.size ?? 0), 0);
  }

  get problems(): ListFileStore["status"]["problems"] {
    return this.#shelf.status.problems;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shelf[Symbol.asyncDispose]();
  }
}

async function* chunksOf(text: string, ending: Ending): AsyncIterable<Uint8Array> {
  const half = Math.ceil(text.length / 2);
  yield Buffer.from(text.slice(0, half));
  if (ending === "cut") throw new Error("the answer broke off");
  if (ending === "garbage") yield Buffer.from("\n\n<html>\n");
  if (half < text.length) yield Buffer.from(text.slice(half));
}

type Step = (shelf: Shelf) => void | Promise<void>;

const key = fc.constantFrom(...KEYS);
const name = fc.constantFrom("one", "two", "three");
const lineCount = fc.integer({ min: 0, max: 60 });
const calls = fc.uniqueArray(
  fc.constantFrom<StorageCall>(
    ...([
      "bytesOf",
      "close",
      "datasync",
      "delete",
      "files",
      "isReadable",
      "open",
      "read",
      "rename",
      "truncate",
      "write",
    ] as const),
  ),
  { minLength: 1, maxLength: 3 },
);

/** Up to the last whole line. */
const wholeLines = (text: string): string => text.slice(0, text.lastIndexOf("\n") + 1);

const step: fc.Arbitrary<readonly [string, Step]> = fc.oneof(
  fc
    .tuple(key, name, lineCount)
    .map(([k, n, lines]) => [`put ${k} ${n} ${lines}`, (s: Shelf) => s.put(k, n, lines)] as const),
  fc
    .tuple(key, name, lineCount)
    .map(([k, n, lines]) => [`append ${k} ${n} ${lines}`, (s: Shelf) => s.append(k, n, lines)] as const),
  fc
    .tuple(key, name)
    .map(([k, n]) => [`half a line ${k} ${n}`, (s: Shelf) => s.appendHalfALine(k, n)] as const),
  fc.tuple(key, name).map(([k, n]) => [`shrink ${k} ${n}`, (s: Shelf) => s.shrink(k, n)] as const),
  fc
    .tuple(key, name, fc.constantFrom(-50, 500, 10_000))
    .map(([k, n, lie]) => [`lie ${k} ${n} ${lie}`, (s: Shelf) => s.lie(k, n, lie)] as const),
  fc.tuple(key, name).map(([k, n]) => [`remove ${k} ${n}`, (s: Shelf) => s.remove(k, n)] as const),
  key.map((k) => [`forget ${k}`, (s: Shelf) => s.forget(k)] as const),
  fc
    .constantFrom(...ENDINGS)
    .map((ending) => [`upstream ${ending}`, (s: Shelf) => s.answers(ending)] as const),
  fc
    .tuple(fc.constantFrom("EIO", "EACCES", "ESTALE", "ENOSPC"), calls)
    .map(([code, which]) => [`${code} of ${which}`, (s: Shelf) => s.failing(code, which)] as const),
  fc.constant(["works", (s: Shelf) => s.works()] as const),
  fc.constant(["poll", (s: Shelf) => s.poll()] as const),
  fc.constant(["poll, not waited for", (s: Shelf) => void s.poll()] as const),
  fc.constant(["grace", (s: Shelf) => s.later(GRACE_MS)] as const),
  fc.constant(["leftovers", (s: Shelf) => s.later(LEFTOVERS_MS)] as const),
  fc.constant([
    "restart",
    async (s: Shelf) => {
      s.works();
      await s.restart();
    },
  ] as const),
);

test("after whatever fails, the count is what is on disk, no part is left, and lists are upstream's", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const root = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
      await using _root = { [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
      await using shelf = new Shelf(root);
      for (const [, act] of steps) {
        await act(shelf);
        const bytes = [...shelf.onDisk().values()].reduce((sum, each) => sum + each, 0);
        expect(bytes).toBeLessThanOrEqual(MAX_BYTES);
      }
      shelf.works();
      for (const k of KEYS) for (const n of ["one", "two", "three"]) shelf.lie(k, n, 0);
      // What an earlier round left, the next one tidies; then graces end.
      for (let round = 0; round < 3; round++) {
        await shelf.poll();
        await shelf.later(LEFTOVERS_MS);
        await shelf.later(GRACE_MS);
      }
      await shelf.poll();
      // A file that this poll replaced stays until its grace ends.
      await shelf.later(GRACE_MS);
      const onDisk = shelf.onDisk();
      const bytes = [...onDisk.values()].reduce((sum, each) => sum + each, 0);
      expect(shelf.countedBytes).toBe(bytes);
      const served = shelf.served();
      const hasRoom = shelf.problems.every(({ detail }) => !detail.includes("--id-lists-max-in-mb"));
      if (hasRoom) {
        expect(shelf.problems).toEqual([]);
        expect([...onDisk.keys()].filter((each) => each.endsWith(".part"))).toEqual([]);
        expect(served).toHaveLength(shelf.wanted);
        for (const { text, upstream } of served) expect(text).toBe(wholeLines(upstream));
        expect(onDisk.size).toBe(shelf.wanted);
      }
    }),
    { numRuns: Number(process.env["FUZZ_RUNS"] ?? 150) },
  );
}, 120_000);
