import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fetchRuntime } from "../../scripts/binary/runtimes.ts";
import { RUNTIME_VERSION, TARGETS } from "../../scripts/binary/targets.ts";
import { NpmRegistry } from "../support/repo/npm-registry.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-runtimes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const VARIABLES = ["npm_config_registry", "npm_config_cache"];
const before = VARIABLES.map((name) => process.env[name]);
afterEach(() => {
  for (const [at, name] of VARIABLES.entries()) {
    const value = before[at];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

/** Returns a new, empty folder for runtimes, and points npm to the registry and to an empty cache. */
function newHome(registry: string): string {
  const home = mkdtempSync(join(folder, "home-"));
  process.env["npm_config_registry"] = registry;
  process.env["npm_config_cache"] = join(home, "npm");
  return home;
}

/** Starts a registry with one package whose executable has this content, or is a link to that file. */
const startRegistry = (name: string, executable: { content: string } | { link: string }) =>
  new NpmRegistry([
    {
      manifest: { name, version: RUNTIME_VERSION },
      ...("link" in executable
        ? { links: { "bin/bun": executable.link } }
        : { files: { "bin/bun": executable.content } }),
    },
  ]);

describe("the Bun executable of another platform", () => {
  const target = TARGETS["linux-arm64"];

  test("is fetched from the registry if its hash is the pinned one, and then reused", async () => {
    await using server = startRegistry(target.runtime, { content: "an executable" });
    const home = newHome(server.url);
    const integrity = server.integrityOf(target.runtime);
    const path = await fetchRuntime({ ...target, integrity }, home);
    expect(await Bun.file(path).text()).toBe("an executable");
    await server[Symbol.asyncDispose]();
    expect(await fetchRuntime({ ...target, integrity }, home)).toBe(path);
  }, 60_000);

  test("takes no space of its own if it is the one that runs the script", async () => {
    await using server = startRegistry(target.runtime, { link: process.execPath });
    const home = newHome(server.url);
    const path = await fetchRuntime({ ...target, integrity: server.integrityOf(target.runtime) }, home);
    const [own, shared] = [statSync(process.execPath), statSync(path)];
    // On another file system it is a copy.
    if (own.dev === shared.dev) expect(shared.ino).toBe(own.ino);
    expect(shared.size).toBe(own.size);
  }, 120_000);

  test("is rejected if the hash differs, and no file remains", async () => {
    await using server = startRegistry(target.runtime, { content: "something else" });
    const home = newHome(server.url);
    const refused = fetchRuntime(target, home);
    await expect(refused).rejects.toThrow(
      /^@oven\/bun-linux-aarch64@\S+ from the npm registry is sha512-\S+ \(expected sha512-\S+ by scripts/,
    );
    await refused.catch(() => undefined);
    expect(readdirSync(home)).toEqual(["npm"]);
  }, 60_000);

  test("cannot be fetched without a network, with an error of one line", async () => {
    const home = newHome("http://127.0.0.1:1/");
    const refused = fetchRuntime(target, home);
    await expect(refused).rejects.toThrow(
      /^Cannot reach the npm registry \(ECONNREFUSED\): check the network/,
    );
    await refused.catch(() => undefined);
    expect(existsSync(join(home, `bun-linux-aarch64-${RUNTIME_VERSION}`))).toBeFalse();
  }, 120_000);
});
