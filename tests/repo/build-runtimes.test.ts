import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fetchRuntime } from "../../scripts/binary/runtimes.ts";
import { RUNTIME_VERSION, TARGETS } from "../../scripts/binary/targets.ts";

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

/** Starts an npm registry with one package that contains one file. */
function startRegistry(name: string, content: string) {
  const source = mkdtempSync(join(folder, "source-"));
  mkdirSync(join(source, "package", "bin"), { recursive: true });
  writeFileSync(join(source, "package", "bin", "bun"), content);
  writeFileSync(join(source, "package", "package.json"), JSON.stringify({ name, version: RUNTIME_VERSION }));
  Bun.spawnSync(["tar", "-czf", "package.tgz", "package"], { cwd: source });
  const tarball = Bun.file(join(source, "package.tgz"));
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      if (request.url.endsWith(".tgz")) return new Response(tarball);
      const integrity = await hashTarball(await tarball.bytes());
      const dist = { tarball: `${new URL(request.url).origin}/package.tgz`, integrity };
      const versions = { [RUNTIME_VERSION]: { name, version: RUNTIME_VERSION, dist } };
      return Response.json({ name, "dist-tags": { latest: RUNTIME_VERSION }, versions });
    },
  });
}

async function hashTarball(bytes: Uint8Array): Promise<string> {
  return `sha512-${new Bun.CryptoHasher("sha512").update(bytes).digest("base64")}`;
}

describe("the Bun executable of another platform", () => {
  const target = TARGETS["linux-arm64"];

  test("is fetched from the registry if its hash is the pinned one, and then reused", async () => {
    using server = startRegistry(target.runtime, "an executable");
    const home = newHome(server.url.href);
    const integrity = await hashTarball(await (await fetch(`${server.url.href}a.tgz`)).bytes());
    const path = await fetchRuntime({ ...target, integrity }, home);
    expect(await Bun.file(path).text()).toBe("an executable");
    await server.stop(true);
    expect(await fetchRuntime({ ...target, integrity }, home)).toBe(path);
  });

  test("is rejected if the hash differs, and no file remains", async () => {
    using server = startRegistry(target.runtime, "something else");
    const home = newHome(server.url.href);
    const refused = fetchRuntime(target, home);
    expect(refused).rejects.toThrow(
      /^@oven\/bun-linux-aarch64@\S+ from the npm registry is sha512-\S+ \(expected sha512-\S+ by scripts/,
    );
    await refused.catch(() => undefined);
    expect(readdirSync(home)).toEqual(["npm"]);
  });

  test("cannot be fetched without a network, with an error of one line", async () => {
    const home = newHome("http://127.0.0.1:1/");
    const refused = fetchRuntime(target, home);
    expect(refused).rejects.toThrow(/^Cannot reach the npm registry \(ECONNREFUSED\): check the network/);
    await refused.catch(() => undefined);
    expect(existsSync(join(home, `bun-linux-aarch64-${RUNTIME_VERSION}`))).toBeFalse();
  });
});
