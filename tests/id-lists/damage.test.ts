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

/** Half of a surrogate pair, as JSON can say it. */
const HALF = "\ud83d";

describe("a list that has half of a surrogate pair in one of its texts", () => {
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
  ] as const)(
    "%s, with --proxy-id-lists %s: that list alone is left out, and reported",
    async (part, proxied) => {
      await using relay = await startRelay({ "proxy-id-lists": proxied });
      relay.upstream.fault = spoiled(relay, changes(relay)[part]);
      expect(Object.keys(await relay.manifest(key))).toEqual(["list"]);
      expect(await relay.text(key, "list")).toBe(first);
      const line = relay.log.find((each) => each.includes("ID list omitted from manifest"));
      expect(line).toContain('"list":"spoiled"');
      expect(line).toContain('"sdk_key":"secret*');
    },
  );

  test("in the name by which the manifest has it", async () => {
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

describe("what goes wrong with a file", () => {
  const answers = (relay: IdListRelay, answer: () => Response) => {
    relay.upstream.fault = ({ path }) => (path.startsWith("/files/") ? answer() : undefined);
  };

  /** Ends in the middle, as a connection that breaks does. */
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

  test("a download that is cut short is gone on with where it ended", async () => {
    await using relay = await startRelay();
    answers(relay, () => cut(first.slice(0, 15), 200));
    expect(await relay.onDisk(key)).toEqual([]);
    relay.upstream.fault = () => undefined;
    await relay.poll();
    await serves(relay, first);
    expect(relay.upstream.rangesAsked()).toEqual([null, "bytes=10-"]);
  });

  test("an appended part that is cut short: the lines that came are served, the rest comes later", async () => {
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
  ])("%s is refused, appended or from the beginning, and the good file stays", async (_, garbage) => {
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

  test("a 200 to a request for a part means to start over", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    relay.upstream.put(key, "list", more + first + more);
    answers(relay, () => new Response(more + first + more));
    await relay.poll();
    await serves(relay, more + first + more);
  });

  test("a file that is shorter than what is here is another: started over", async () => {
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
    "a file that shrinks, a 416 %s: fetched again from its beginning, the old one served until then",
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

  test("what a failure leaves behind is deleted, and nothing that is being written or was just replaced", async () => {
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
    // A whole file in answer to a range replaces the one that is here.
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
    // Another key that lists the file finds out that it is lost.
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

  test("a download that broke off after its last byte is whole with the 416 that comes next", async () => {
    await using relay = await startRelay();
    answers(relay, () => cut(first, 200));
    expect(await relay.onDisk(key)).toEqual([]);
    relay.upstream.fault = () => undefined;
    await relay.poll();
    await serves(relay, first);
    expect(relay.upstream.rangesAsked()).toEqual([null, `bytes=${first.length}-`]);
  });

  test.each([
    ["another part than was asked for", 206, { "content-range": "bytes 0-9/40" }],
    ["no Content-Range", 206, {}],
    ["a Content-Encoding", 200, { "content-encoding": "gzip" }],
    ["a part of what was asked for", 206, { "content-range": "bytes 20-29/40" }],
  ])("%s is not taken", async (_, status, headers) => {
    await using relay = await startRelay();
    await serves(relay, first);
    relay.upstream.append(key, "list", more);
    answers(relay, () => new Response(more.slice(0, 10), { status, headers }));
    await relay.poll();
    await eventually(() => expect(relay.log.join("\n")).toContain("could not be brought up to date"));
    expect(await relay.text(key, "list")).toBe(first);
  });

  test("a silent upstream is given up, and the others go on", async () => {
    await using relay = await startRelay();
    relay.upstream.put(key, "other", more);
    relay.upstream.fault = ({ path }) =>
      path.endsWith("list")
        ? new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))
        : undefined;
    expect(await relay.onDisk(key)).toEqual(["other"]);
    await eventually(() => expect(relay.clock.wake(10_000)).toBeGreaterThan(0));
    await eventually(() => expect(relay.log.join("\n")).toContain("nothing from upstream within 10 s"));
  }, 10_000);

  test.each([
    ["30 minutes", 1_000, 30 * 60_000],
    ["the time at 100 kB/s, of a large one", 1_000_000_000, 10_000_000],
    ["a day, of one as large as no timer waits for", 1_000_000_000_000, 86_400_000],
  ])("a download that goes on and on ends after %s", async (_, size, limitMs) => {
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
    await eventually(() => expect(relay.log.join("\n")).toContain(`no whole file within ${minutes} minutes`));
  });

  test("a folder that somebody put a file in the place of: manifests are answered, and the log says so", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    const folder = join(relay.folder, "id-lists", "0");
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "");
    relay.upstream.append(key, "list", more);
    await relay.poll();
    await eventually(() => expect(relay.log.join("\n")).toContain("could not be brought up to date"));
    expect(Object.keys(await relay.manifest(key))).toEqual(["list"]);
    expect(relay.log.join("\n")).not.toContain("unexpected");
  });

  test("files that somebody deleted are fetched anew", async () => {
    await using relay = await startRelay();
    await serves(relay, first);
    for (const name of filesOf(relay)) rmSync(join(relay.folder, "id-lists", "0", name));
    await relay.poll();
    await serves(relay, first);
  });

  test("lists that are larger than --id-lists-max-in-mb together: those that fit are served", async () => {
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
