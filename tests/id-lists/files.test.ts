import { describe, expect, test } from "bun:test";
import { readdirSync, rmSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay, type IdListRelayOptions } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";

const key = "secret-files";
const first = listed("acme") + listed("globex");
const more = listed("initech") + listed("acme", "-");
const GRACE_MS = 30_000;

async function startRelay(options: IdListRelayOptions = {}): Promise<IdListRelay> {
  const values = { "proxy-id-lists": "true", ...options.values };
  const relay = await IdListRelay.start({ ...options, values });
  if (options.upstream === undefined) relay.upstream.put(key, "list", first);
  return relay;
}

const filesOf = (relay: IdListRelay, slot = "0"): string[] =>
  readdirSync(join(relay.folder, "id-lists", slot)).filter((name) => !name.startsWith("lock"));

const serves = (relay: IdListRelay, text: string | undefined) =>
  eventually(async () => expect(await relay.text(key, "list")).toBe(text as string));

describe("a list file", () => {
  test("is downloaded once, then only the bytes appended", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    await relay.poll();
    relay.upstream.append(key, "list", more);
    await relay.poll();
    await serves(relay, first + more);
    expect(relay.upstream.rangesAsked()).toEqual([null, `bytes=${first.length}-`]);
  });

  test("is downloaded once for two keys", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    const shared = relay.upstream.entry(key, "list");
    relay.upstream.fault = (seen) =>
      seen.key === "secret-shares" ? Response.json({ same: { ...shared, name: "same" } }) : undefined;
    expect(await relay.text("secret-shares", "same")).toBe(first);
    expect(relay.upstream.rangesAsked()).toEqual([null]);
  });

  test("is accessible to its owner only, and named by a digest", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    const [name = "", ...others] = filesOf(relay);
    expect(name).toMatch(/^[0-9a-f]{64}-[0-9a-z]+-[0-9a-z]+$/);
    expect(others).toEqual([]);
    const folder = join(relay.folder, "id-lists", "0");
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test.each([
    ["fileID", { fileID: "file/second" }],
    ["creationTime", { creationTime: 1_800_000_000_000 }],
  ])("is replaced when its %s changes, the older one served until the newer is whole", async (_, change) => {
    await using relay = await startRelay();
    await serves(relay, first);
    const before = (await relay.manifest(key))["list"];
    const held = Promise.withResolvers<void>();
    const begun = new Uint8Array(Buffer.from(listed("umbrella")));
    const slow = new ReadableStream({
      async start(controller) {
        controller.enqueue(begun);
        await held.promise;
        controller.enqueue(new Uint8Array(Buffer.from(listed("hooli"))));
        controller.close();
      },
    });
    relay.upstream.put(key, "list", listed("umbrella") + listed("hooli"), change);
    relay.upstream.fault = ({ path }) => (path.startsWith("/files/") ? new Response(slow) : undefined);
    await relay.poll();
    await eventually(() => expect(relay.upstream.rangesAsked()).toEqual([null, null]));
    expect((await relay.manifest(key))["list"]).toEqual(before as never);
    expect(await relay.text(key, "list")).toBe(first);
    held.resolve();
    await serves(relay, listed("umbrella") + listed("hooli"));
    expect((await relay.manifest(key))["list"]).toMatchObject(change);
    await eventually(() => expect(relay.clock.wake(GRACE_MS)).toBe(1));
    await eventually(() => expect(filesOf(relay)).toHaveLength(1));
  });

  test("is named as an empty file that is older than any other, if it is not on disk", async () => {
    await using relay = await startRelay();
    relay.upstream.fault = ({ path }) =>
      path.startsWith("/files/") ? new Response("no", { status: 500 }) : undefined;
    const { list } = await relay.manifest(key);
    expect(list).toMatchObject({ name: "list", size: 0, creationTime: 0, fileID: "not-on-disk-yet" });
    const range = { headers: { range: "bytes=0-" } };
    for (const asked of [await fetch(list?.url ?? ""), await fetch(list?.url ?? "", range)]) {
      expect([asked.status, asked.headers.get("content-length"), await asked.text()]).toEqual([200, "0", ""]);
    }
    relay.upstream.fault = () => undefined;
    await relay.poll();
    await serves(relay, first);
  });

  test("is announced as far as it is on disk, up to the last whole line", async () => {
    await using relay = await startRelay();
    relay.upstream.put(key, "list", `${first}+abc`, { size: 10_000 });
    expect(await relay.text(key, "list")).toBe(first);
    relay.upstream.append(key, "list", "defgh\n");
    await relay.poll();
    await serves(relay, `${first}+abcdefgh\n`);
  });

  test("is served without any ID, also for a range", async () => {
    await using relay = await startRelay();
    relay.upstream.put(key, "list", "");
    const { list } = await relay.manifest(key);
    expect(list).toMatchObject({ fileID: "file/list", size: 0 });
    const asked = await fetch(list?.url ?? "", { headers: { range: "bytes=0-" } });
    expect([asked.status, await asked.text()]).toEqual([200, ""]);
  });

  test("is not taken as empty if it is another relay that does not have it yet", async () => {
    await using parent = await startRelay();
    parent.upstream.fault = ({ path }) =>
      path.startsWith("/files/") ? new Response("no", { status: 500 }) : undefined;
    await using child = await startRelay({ env: { STATSIG_ENDPOINT: parent.url } });
    expect(await child.onDisk(key)).toEqual([]);
    parent.upstream.fault = () => undefined;
    await parent.poll();
    await serves(parent, first);
    // The parent lacked a file: it is polled again after the interval of config specs.
    child.clock.wake(10_000.001, 11_000);
    await serves(child, first);

    // A parent with an empty disk does not remove the files of its child.
    for (const name of filesOf(parent)) rmSync(join(parent.folder, "id-lists", "0", name));
    parent.upstream.fault = ({ path }) =>
      path.startsWith("/files/") ? new Response("no", { status: 500 }) : undefined;
    await parent.poll();
    await eventually(async () => expect(await parent.onDisk(key)).toEqual([]));
    child.clock.wake(60_000.001, 66_000);
    await Bun.sleep(200);
    expect(await child.text(key, "list")).toBe(first);
  });

  test("is announced with its real length if it grew after its manifest was sent", async () => {
    await using relay = await startRelay();
    relay.upstream.put(key, "list", first + more, { size: first.length });
    expect(await relay.text(key, "list")).toBe(first + more);
  });
});

describe("a list that is no longer in the manifest", () => {
  test("is removed from the relay's manifest at once, and its file after a while", async () => {
    await using relay = await startRelay();
    relay.upstream.put(key, "other", more);
    await serves(relay, first);
    const { url = "" } = (await relay.manifest(key))["list"] ?? {};
    relay.upstream.remove(key, "list");
    await relay.poll();
    await eventually(async () => expect(Object.keys(await relay.manifest(key))).toEqual(["other"]));
    expect((await fetch(url)).status).toBe(200);
    expect(relay.clock.wake(GRACE_MS)).toBe(1);
    await eventually(async () => expect((await fetch(url)).status).toBe(404));
    expect(filesOf(relay)).toHaveLength(1);
  });

  test("is read to its end by clients that have begun", async () => {
    await using relay = await startRelay();
    const large = listed("acme").repeat(2_000_000);
    relay.upstream.put(key, "list", large);
    await eventually(async () => expect((await relay.manifest(key))["list"]?.size).toBe(large.length));
    const { url = "" } = (await relay.manifest(key))["list"] ?? {};
    const reader = (await fetch(url)).body?.getReader();
    let bytes = (await reader?.read())?.value?.length ?? 0;
    relay.upstream.remove(key, "list");
    await relay.poll();
    await eventually(() => expect(relay.clock.wake(GRACE_MS)).toBe(1));
    await eventually(() => expect(filesOf(relay)).toEqual([]));
    for (;;) {
      const chunk = await reader?.read();
      if (chunk?.value === undefined) break;
      bytes += chunk.value.length;
    }
    expect(bytes).toBe(large.length);
  });

  test("is deleted with the last key that lists it", async () => {
    const values = { "maximum-concurrent-sdk-keys": "1", "unknown-key-rate-per-s": "10000" };
    await using relay = await startRelay({ values });
    await serves(relay, first);
    relay.upstream.put("secret-next", "list", more);
    await relay.manifest("secret-next");
    expect(relay.clock.wake(GRACE_MS)).toBe(1);
    await eventually(() => expect(filesOf(relay)).toHaveLength(1));
  });
});

describe("the folder", () => {
  test("has the relay's files after a restart, when only what was appended is downloaded", async () => {
    await using upstream = new IdListUpstream();
    upstream.put(key, "list", first);
    const folder = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
    await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    {
      await using relay = await startRelay({ upstream, folder });
      await serves(relay, first);
    }
    upstream.append(key, "list", more);
    await using relay = await startRelay({ upstream, folder });
    await serves(relay, first + more);
    expect(upstream.rangesAsked()).toEqual([null, `bytes=${first.length}-`]);
  });

  test("is a different one for each running relay", async () => {
    await using upstream = new IdListUpstream();
    upstream.put(key, "list", first);
    const folder = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
    await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    await using one = await startRelay({ upstream, folder });
    await using two = await startRelay({ upstream, folder });
    await serves(one, first);
    await serves(two, first);
    expect([filesOf(one, "0").length, filesOf(two, "1").length]).toEqual([1, 1]);
  });

  test("sends clients to upstream if it is unusable, which is logged", async () => {
    await using relay = await startRelay({ values: { "local-cache-path": "/dev/null/nowhere" } });
    expect(await relay.manifest(key)).toEqual({ list: relay.upstream.entry(key, "list") });
    expect(relay.log.join("\n")).toContain("ID list folder unusable");
  });
});
