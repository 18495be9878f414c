import { describe, expect, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { listed } from "../support/id-lists/id-list-upstream.ts";

const key = "secret-files";
const first = listed("acme") + listed("globex");
const more = listed("initech") + listed("acme", "-");

async function startRelay(values: Readonly<Record<string, string>> = {}): Promise<IdListRelay> {
  const relay = await IdListRelay.start({ values: { "proxy-id-lists": "true", ...values } });
  relay.upstream.put(key, "list", first);
  return relay;
}

const filesOf = (relay: IdListRelay): string[] =>
  readdirSync(join(relay.folder, "id-lists", "0")).filter((name) => !name.startsWith("lock"));

const serves = (relay: IdListRelay, text: string | undefined) =>
  eventually(async () => expect(await relay.text(key, "list")).toBe(text as string));

/** Half of a surrogate pair, which JSON can express. */
const HALF = "\ud83d";

describe("a list with half of a surrogate pair in one of its strings", () => {
  const spoiled =
    (relay: IdListRelay, change: Readonly<Record<string, string>>) =>
    ({ path }: { readonly path: string }) => {
      if (path !== "/v1/get_id_lists") return undefined;
      const entry = relay.upstream.entry(key, "list");
      return Response.json({ list: entry, spoiled: { ...entry, name: "spoiled", ...change } });
    };
  const changes = (relay: IdListRelay) => ({
    fileID: { fileID: `file${HALF}` },
    name: { name: HALF },
    url: { url: `${relay.upstream.url}/files/${HALF}` },
  });

  test.each([
    ["fileID", "true"],
    ["fileID", "false"],
    ["name", "true"],
    ["name", "false"],
    ["url", "true"],
    ["url", "false"],
  ] as const)("in its %s (--proxy-id-lists %s) is left out alone, and reported", async (part, proxied) => {
    await using relay = await startRelay({ "proxy-id-lists": proxied });
    relay.upstream.fault = spoiled(relay, changes(relay)[part]);
    expect(Object.keys(await relay.manifest(key))).toEqual(["list"]);
    expect(await relay.text(key, "list")).toBe(first);
    const line = relay.log.find((each) => each.includes("ID list omitted from manifest"));
    expect(line).toContain('"list":"spoiled"');
    expect(line).toContain('"sdk_key":"secret*');
  });

  test("in its name in the manifest is left out as well", async () => {
    await using relay = await startRelay();
    relay.upstream.fault = ({ path }) => {
      if (path !== "/v1/get_id_lists") return undefined;
      const entry = relay.upstream.entry(key, "list");
      return Response.json({ list: entry, [HALF]: entry });
    };
    expect(Object.keys(await relay.manifest(key))).toEqual(["list"]);
    expect(relay.log.join("\n")).toContain('"list":"\ufffd"');
  });
});

describe("a damaged download", () => {
  const answers = (relay: IdListRelay, answer: () => Response) => {
    relay.upstream.fault = ({ path }) => (path.startsWith("/files/") ? answer() : undefined);
  };

  /** Ends in the middle, like a connection that breaks. */
  const cut = (text: string, status: number, headers = {}): Response =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new Uint8Array(Buffer.from(text)));
          await Bun.sleep(150);
          controller.error(new Error("cut"));
        },
      }),
      { status, headers },
    );

  test("continues where it was cut short", async () => {
    await using relay = await startRelay();
    answers(relay, () => cut(first.slice(0, 15), 200));
    expect(await relay.onDisk(key)).toEqual([]);
    relay.upstream.fault = () => undefined;
    await relay.poll();
    await serves(relay, first);
    expect(relay.upstream.rangesAsked()).toEqual([null, "bytes=10-"]);
  });

  test("of an appended part that is cut short has its whole lines served, and the rest later", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    relay.upstream.append(key, "list", more);
    const total = first.length + more.length;
    const headers = { "content-range": `bytes ${first.length}-${total - 1}/${total}` };
    answers(relay, () => cut(more.slice(0, 13), 206, headers));
    await relay.poll();
    await serves(relay, first + more.slice(0, 10));
    relay.upstream.fault = () => undefined;
    await relay.poll();
    await serves(relay, first + more);
  });

  test.each([
    ["a page of HTML", "<html>\n"],
    ["an empty line", `${listed("hooli")}\n${listed("acme")}`],
    ["a line without a sign", `${listed("hooli")}abc\n`],
  ])("with %s is rejected, appended or from the beginning, and the good file stays", async (_, garbage) => {
    await using relay = await startRelay();
    await serves(relay, first);
    relay.upstream.append(key, "list", garbage);
    await relay.poll();
    await eventually(() => expect(relay.log.join("\n")).toContain("begins with neither + nor -"));
    expect(await relay.text(key, "list")).toBe(first);

    relay.upstream.put("secret-garbage", "list", first + garbage);
    expect(await relay.onDisk("secret-garbage")).toEqual([]);

    relay.upstream.put(key, "list", first + more);
    await relay.poll();
    await serves(relay, first + more);
  });

  test("with 200 for a request of a part starts over", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    relay.upstream.put(key, "list", more + first + more);
    answers(relay, () => new Response(more + first + more));
    await relay.poll();
    await serves(relay, more + first + more);
  });

  test("of a file that is shorter than the one on disk starts over", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    relay.upstream.put(key, "list", listed("hooli"), { size: 1_000 });
    await relay.poll();
    await serves(relay, listed("hooli"));
  });

  test.each([
    ["with the size", true],
    ["without a size", false],
  ])(
    "of a file that shrinks, with a 416 %s, starts over, and the old one is served until then",
    async (_, saysSize) => {
      await using relay = await startRelay();
      relay.upstream.put(key, "list", first + more);
      await serves(relay, first + more);
      const held = Promise.withResolvers<void>();
      relay.upstream.put(key, "list", listed("hooli"));
      relay.upstream.fault = async ({ path, range }) => {
        if (!path.startsWith("/files/")) return undefined;
        if (range !== null)
          return new Response(null, {
            status: 416,
            headers: saysSize ? { "content-range": "bytes */10" } : {},
          });
        await held.promise;
        return undefined;
      };
      await relay.poll();
      await eventually(() =>
        expect(relay.upstream.rangesAsked()).toEqual([null, `bytes=${(first + more).length}-`, null]),
      );
      expect(await relay.text(key, "list")).toBe(first + more);
      held.resolve();
      await serves(relay, listed("hooli"));
      expect(relay.clock.wake(30_000)).toBeGreaterThan(0);
      await eventually(() => expect(filesOf(relay)).toHaveLength(1));
    },
  );

  test("has its remains deleted, but no file that is being written or was just replaced", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    const slow = Promise.withResolvers<void>();
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(new Uint8Array(Buffer.from(first)));
        await slow.promise;
        controller.enqueue(new Uint8Array(Buffer.from(more)));
        controller.close();
      },
    });
    // A whole file in response to a range replaces the one on disk.
    relay.upstream.put(key, "list", more + first);
    relay.upstream.put(key, "slow", first + more, { fileID: "slow" });
    relay.upstream.fault = ({ path, range }) => {
      if (path.endsWith("slow")) return new Response(body);
      return range === null ? undefined : new Response(more + first);
    };
    await relay.poll();
    await serves(relay, more + first);
    await eventually(() => expect(filesOf(relay)).toHaveLength(3));
    writeFileSync(join(relay.folder, "id-lists", "0", "left-behind"), "");
    const before = new Set(filesOf(relay));
    relay.upstream.put("secret-lost", "lost", first, { fileID: "lost" });
    expect(await relay.onDisk("secret-lost")).toEqual(["lost"]);
    for (const name of filesOf(relay))
      if (!before.has(name)) rmSync(join(relay.folder, "id-lists", "0", name));
    // Another key with the same file discovers that it is lost.
    const shared = relay.upstream.entry("secret-lost", "lost");
    relay.upstream.fault = ({ key: asked }) =>
      asked === "secret-lost-too" ? Response.json({ lost: shared }) : undefined;
    expect(await relay.onDisk("secret-lost-too")).toEqual(["lost"]);
    await eventually(() => expect(filesOf(relay)).not.toContain("left-behind"));
    expect(filesOf(relay)).toHaveLength(4);
    slow.resolve();
    await eventually(async () => expect(await relay.text(key, "slow")).toBe(first + more));
    expect(relay.log.join("\n")).not.toContain('up to date {"list":"slow"');
    expect(relay.clock.wake(30_000)).toBeGreaterThan(0);
    await eventually(() => expect(filesOf(relay)).toHaveLength(3));
  });

  test("that was cut short after its last byte is whole with the next 416", async () => {
    await using relay = await startRelay();
    answers(relay, () => cut(first, 200));
    expect(await relay.onDisk(key)).toEqual([]);
    relay.upstream.fault = () => undefined;
    await relay.poll();
    await serves(relay, first);
    expect(relay.upstream.rangesAsked()).toEqual([null, `bytes=${first.length}-`]);
  });

  test.each([
    ["a part that was not requested", 206, { "content-range": "bytes 0-9/40" }],
    ["no Content-Range", 206, {}],
    ["a Content-Encoding", 200, { "content-encoding": "gzip" }],
    ["a part of what was requested", 206, { "content-range": "bytes 20-29/40" }],
  ])("with %s is rejected", async (_, status, headers) => {
    await using relay = await startRelay();
    await serves(relay, first);
    relay.upstream.append(key, "list", more);
    answers(relay, () => new Response(more.slice(0, 10), { status, headers }));
    await relay.poll();
    await eventually(() => expect(relay.log.join("\n")).toContain("ID list file not updated"));
    expect(await relay.text(key, "list")).toBe(first);
  });

  test("from a stalled host is aborted, and others continue", async () => {
    await using relay = await startRelay();
    relay.upstream.put(key, "other", more);
    relay.upstream.fault = ({ path }) =>
      path.endsWith("list")
        ? new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))
        : undefined;
    expect(await relay.onDisk(key)).toEqual(["other"]);
    await eventually(() => expect(relay.clock.wake(10_000)).toBeGreaterThan(0));
    await eventually(() => expect(relay.log.join("\n")).toContain("no data from upstream for 10 s"));
  });

  test.each([
    ["30 minutes", 1_000, 30 * 60_000],
    ["the time at 100 kB/s, if the file is large", 1_000_000_000, 10_000_000],
    ["a day, if the time at 100 kB/s is longer than a timer can wait", 1_000_000_000_000, 86_400_000],
  ])("that does not end is aborted after %s", async (_, size, limitMs) => {
    await using relay = await startRelay({ "id-lists-max-in-mb": "1048576" });
    relay.upstream.put(key, "list", first, { size });
    const trickle = new ReadableStream({
      async pull(controller) {
        await Bun.sleep(20);
        controller.enqueue(new Uint8Array(Buffer.from(first)));
      },
    });
    answers(relay, () => new Response(trickle));
    const manifest = relay.manifest(key);
    await eventually(() => expect(relay.clock.wake(limitMs)).toBe(1));
    await manifest;
    const minutes = Math.round(limitMs / 60_000);
    await eventually(() =>
      expect(relay.log.join("\n")).toContain(`download not finished within ${minutes} minutes`),
    );
  });

  test("to a folder that was replaced by a file is logged, and manifests are served", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    const folder = join(relay.folder, "id-lists", "0");
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "");
    relay.upstream.append(key, "list", more);
    await relay.poll();
    await eventually(() => expect(relay.log.join("\n")).toContain("ID list file not updated"));
    expect(Object.keys(await relay.manifest(key))).toEqual(["list"]);
    expect(relay.log.join("\n")).not.toContain("unexpected");
  });

  test("is repeated if another process deleted the files", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    for (const name of filesOf(relay)) rmSync(join(relay.folder, "id-lists", "0", name));
    await relay.poll();
    await serves(relay, first);
  });

  test("of more lists than fit into --id-lists-max-in-mb has those served that fit", async () => {
    await using relay = await startRelay({ "id-lists-max-in-mb": "1" });
    const line = listed("acme");
    relay.upstream.put(key, "large", line.repeat(110_000));
    relay.upstream.put(key, "lies", line.repeat(110_000), { size: 10 });
    await relay.manifest(key);
    await relay.poll();
    await eventually(async () => expect(await relay.onDisk(key)).toEqual(["list"]));
    expect(relay.log.join("\n")).toContain("would be larger than 1048576 bytes");
  });
});
