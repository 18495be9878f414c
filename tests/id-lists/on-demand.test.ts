import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { ListFileStore } from "../../src/id-lists/file-store.ts";
import { ListFolder } from "../../src/id-lists/folder.ts";
import { OnDemandFiles } from "../../src/id-lists/on-demand.ts";
import { IdListFiles } from "../../src/upstream/id-lists.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { FileUpstream } from "../support/id-lists/file-upstream.ts";

const FILE = "+abc\n+def\n+ghi\n";

let stack: AsyncDisposableStack;
let upstream: FileUpstream;
let clock: FakeClock;
let root: string;
let store: ListFileStore | undefined;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  root = await mkdtemp(join(tmpdir(), "sfp-on-demand-"));
  stack.defer(() => rm(root, { recursive: true, force: true }));
  upstream = stack.use(new FileUpstream());
  clock = new FakeClock();
  store = undefined;
});

afterEach(() => stack.disposeAsync());

function openStore(): ListFileStore {
  const source = new IdListFiles(clock, { relayVersion: "1" });
  const parts = { source, clock, supervisor: strictSupervisor(clock), emit: () => {} };
  const limits = { maxBytes: 1_000_000, maxDownloads: 4 };
  store = stack.use(new ListFileStore({ folder: ListFolder.claim(root), ...parts, ...limits }));
  return store;
}

function onDemand(open: () => ListFileStore | undefined = openStore) {
  const gate = { refusal: async () => undefined };
  const files = new OnDemandFiles({ gate, openStore: open, baseUrl: () => upstream.url, clock });
  return (encodedId: string, knownSize?: number) =>
    files.find({
      sdkKey: "secret-a" as SdkKey,
      encodedId,
      query: "",
      rangeStart: undefined,
      knownSize,
    });
}

test("a size that a client makes up causes one request to upstream in 30 s", async () => {
  upstream.files.set("list", FILE);
  const find = onDemand();
  for (const size of [100, 101, 102, 103]) expect((await find("list", size)).kind).toBe("found");
  expect(upstream.asked("list")).toHaveLength(1);
  await clock.advance(30_001);
  upstream.files.set("list", FILE.repeat(10));
  expect(await find("list", 150)).toMatchObject({ kind: "found", file: { bytes: 150 } });
  expect(upstream.asked("list")).toHaveLength(2);
});

test("an ID that upstream does not know takes no place, and a file that it knows keeps its place", async () => {
  upstream.files.set("list", FILE);
  const find = onDemand();
  expect((await find("list")).kind).toBe("found");
  for (const id of ["made-up-1", "made-up-2"]) expect((await find(id)).kind).toBe("unavailable");
  // Files in use have their problems listed.
  expect(store?.status).toMatchObject({ files: 1, bytes: FILE.length, problems: [] });
  await clock.advance(60_000);
  expect((await find("list")).kind).toBe("found");
  expect(upstream.asked("list")).toHaveLength(1);
});

test("a folder that cannot be used is tried again after 30 s, not for each request", async () => {
  let tries = 0;
  upstream.files.set("list", FILE);
  const find = onDemand(() => (++tries === 1 ? undefined : openStore()));
  for (let count = 0; count < 5; count++) expect((await find("list")).kind).toBe("unavailable");
  expect(tries).toBe(1);
  await clock.advance(30_001);
  expect((await find("list")).kind).toBe("found");
  expect(tries).toBe(2);
});

test("clients that ask for a file at once share one request to upstream, whatever sizes they know", async () => {
  upstream.files.set("list", FILE);
  const find = onDemand();
  const sizes = [undefined, FILE.length, undefined, 4];
  const found = await Promise.all(sizes.map((size) => find("list", size)));
  expect(found.map(({ kind }) => kind)).toEqual(["found", "found", "found", "found"]);
  expect(upstream.asked("list")).toHaveLength(1);
});
