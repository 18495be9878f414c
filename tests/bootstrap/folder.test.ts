import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { BootstrapCatalog } from "../../src/bootstrap/catalog.ts";
import { listFiles } from "../../src/bootstrap/folder.ts";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { feedOf, sdkKeyOf } from "../support/specs/snapshots.ts";
import { MAX_PAYLOAD_BYTES, specV2 } from "../support/upstream/payloads.ts";

const KEY = sdkKeyOf("secret-catalog");
const LCUT = 1_700_000_000_000;

const namesIn = async (path: string, maxBytes = MAX_PAYLOAD_BYTES) => {
  const listing = await listFiles(path, maxBytes);
  return listing.kind === "failed"
    ? listing.reason
    : listing.files.map(({ name, problem }) => problem ?? name);
};

describe("a folder", () => {
  test("has files by name, and ignores hidden ones and folders below it", async () => {
    using folder = new SpecFolder();
    for (const name of [
      "b.json",
      "a.JSON",
      "c.json.gz",
      "d.statsig-br",
      "e.yaml",
      ".hidden.json",
      "f.json.bak",
    ]) {
      folder.write(name, "{}");
    }
    mkdirSync(join(folder.path, "g"));
    expect(await namesIn(folder.path)).toEqual(["a.JSON", "b.json", "c.json.gz", "d.statsig-br"]);
    expect(await namesIn(folder.write("any.name", "{}"))).toEqual(["any.name"]);
  });

  test("may have what is no file, is too large or leads nowhere: that is not read", async () => {
    using folder = new SpecFolder();
    mkdirSync(join(folder.path, "a.json"));
    Bun.spawnSync(["mkfifo", join(folder.path, "b.json")]);
    symlinkSync("nowhere", join(folder.path, "c.json"));
    symlinkSync("d.json", join(folder.path, "d.json"));
    folder.write("e.json", "x".repeat(1025));
    expect(await namesIn(folder.path, 1024)).toEqual([
      "it is not a regular file",
      "it is not a regular file",
      "no such file or directory",
      "symbolic links that lead to each other",
      expect.stringMatching(/^it is larger than the .* MiB that --max-payload-in-mb allows$/),
    ]);
  });

  test("has a limit of files", async () => {
    using folder = new SpecFolder();
    for (let at = 0; at <= 2_000; at++) folder.write(`${at}.json`, "{}");
    expect(await namesIn(folder.path)).toBe("it has 2001 files with config specs, more than 2000");
  });
});

describe("the files for a feed", () => {
  async function open(folder: SpecFolder): Promise<BootstrapCatalog> {
    const catalog = new BootstrapCatalog({ supervisor: strictSupervisor(), maxBytes: MAX_PAYLOAD_BYTES });
    await catalog.update(await listFiles(folder.path, MAX_PAYLOAD_BYTES));
    return catalog;
  }

  test("are those that name its key, the newest first, then those that name none", async () => {
    using folder = new SpecFolder();
    const digest = new Bun.CryptoHasher("sha256").update(KEY).digest("hex").slice(0, 16);
    folder.write("all.json", specV2({ lcut: LCUT + 9 }));
    folder.write(`digest.key-${digest}.json`, specV2({ lcut: LCUT + 1 }));
    folder.write("named.json", specV2({ lcut: LCUT + 2, sdkKey: KEY }));
    folder.write(`both.key-${digest}.json`, specV2({ lcut: LCUT + 3, sdkKey: KEY }));
    folder.write(`contradicting.key-${"0".repeat(16)}.json`, specV2({ lcut: LCUT + 4, sdkKey: KEY }));
    folder.write("other.json", specV2({ lcut: LCUT + 5, sdkKey: "secret-other" }));
    const catalog = await open(folder);
    expect(catalog.find(feedOf(KEY)).map(({ name }) => name.split(".")[0])).toEqual([
      ...["both", "named", "digest", "all"],
    ]);
    expect(catalog.find(feedOf("secret-without-a-file")).map(({ name }) => name)).toEqual(["all.json"]);
    expect(catalog.find({ ...feedOf(KEY), version: "v1" })).toEqual([]);
  });

  test("are inspected again only when they have changed", async () => {
    using folder = new SpecFolder();
    folder.write("a.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    folder.write("b.json", "Unauthorized");
    const catalog = await open(folder);
    const update = async () => catalog.update(await listFiles(folder.path, MAX_PAYLOAD_BYTES));
    expect(await update()).toEqual({ changed: [], isChanged: false });
    folder.write("b.json", specV2({ lcut: LCUT + 1, sdkKey: KEY }));
    expect((await update()).changed.map(({ name }) => name)).toEqual(["b.json"]);
    folder.remove("a.json");
    expect(await update()).toEqual({ changed: [], isChanged: true });
    expect(catalog.usable.map(({ name }) => name)).toEqual(["b.json"]);
    // What was known stays if the folder cannot be read for a moment.
    await catalog.update({ kind: "failed", reason: "EMFILE" });
    expect(catalog.usable.map(({ name }) => name)).toEqual(["b.json"]);
  });

  test("that cannot be read are unusable, with the reason", async () => {
    // Root can read everything.
    if (process.getuid?.() === 0) return;
    using folder = new SpecFolder();
    chmodSync(folder.write("a.json", specV2({ lcut: LCUT })), 0o000);
    expect((await open(folder)).unusable).toEqual([{ name: "a.json", reason: "permission denied" }]);
  });
});
