import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/command.ts";
import { describeWith } from "../support/common/needs.ts";
import { NpmRegistry } from "../support/repo/npm-registry.ts";
import { SMALL_PACKAGES, SmallClone } from "../support/repo/small-clone.ts";

/** Node.js loads it first, and then takes this machine for another one. */
const machine = (platform: string, arch: string) => [
  "--import",
  `data:text/javascript,for (const [name, value] of Object.entries(${JSON.stringify({ platform, arch })})) Object.defineProperty(process, name, { value });`,
];

describeWith("node")("the first run in a clone", () => {
  const owned = new AsyncDisposableStack();
  let registry: NpmRegistry;
  beforeAll(() => {
    registry = owned.use(new NpmRegistry(SMALL_PACKAGES));
  });
  afterAll(() => owned.disposeAsync());

  const toRegistry = () => ({ npm_config_registry: registry.url });
  const hasTool = ({ folder }: SmallClone) => existsSync(join(folder, "node_modules/small-tool"));

  test("installs what the relay needs, a script for development the rest, and later runs nothing", async () => {
    using clone = new SmallClone(registry);
    const first = await clone.run("src/main.ts", toRegistry());
    expect(first.output).toBe(
      `Installing Bun ${Bun.version} into .bun (once)\n` +
        "Installing the packages of bun.lock that the relay needs to run\nruns with needed\n",
    );
    expect(hasTool(clone)).toBeFalse();
    const second = await clone.run("scripts/all.ts", toRegistry());
    expect(second.output).toBe("Installing the packages of bun.lock\nruns with tool\n");
    const third = await clone.run("src/main.ts", toRegistry());
    expect(third.output).toBe("runs with needed\n");
    expect(hasTool(clone)).toBeTrue();
  }, 120_000);

  test("needs no network if another clone of the user has filled the caches", async () => {
    await using own = new NpmRegistry(SMALL_PACKAGES);
    using first = new SmallClone(own);
    const env = { npm_config_registry: own.url };
    await first.run("scripts/all.ts", env);
    await own[Symbol.asyncDispose]();
    using second = new SmallClone(own, first.home);
    expect((await second.run("src/main.ts", env)).output).toEndWith("\nruns with needed\n");
    expect((await second.run("scripts/all.ts", env)).output).toEndWith("\nruns with tool\n");
    using third = new SmallClone(own, first.home);
    const offline = { ...env, npm_config_offline: "true" };
    expect((await third.run("scripts/all.ts", offline)).output).toEndWith("\nruns with tool\n");
  }, 120_000);
});

describeWith("node")("a machine without a Bun", () => {
  test.each([
    [
      "Windows",
      ["win32", "x64"],
      /^with-bun: Windows is not supported: use WSL 2 \(https:\S+\), or build the image with Docker$/,
    ],
    [
      "FreeBSD",
      ["freebsd", "x64"],
      /^with-bun: freebsd on x64 is not supported \(expected Linux or macOS, on x64 or arm64\)$/,
    ],
    ["32 bits", ["linux", "arm"], /^with-bun: linux on arm is not supported /],
  ] as const)("says so, on %s", async (_, [platform, arch], message) => {
    await using registry = new NpmRegistry(SMALL_PACKAGES);
    using clone = new SmallClone(registry);
    const { code, output } = await clone.run("src/main.ts", {}, machine(platform, arch));
    expect(output.trimEnd()).toMatch(message);
    expect(code).toBe(1);
    expect(registry.seen).toEqual([]);
  });
});

describe("exec.cmd", () => {
  test("is what the Windows shell runs for every script, and says the same", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    expect(Object.values(scripts).filter((script) => !script.startsWith("exec node "))).toEqual([]);
    const said = /"(Windows is not supported: .*)"/.exec(
      readFileSync(join(root, "scripts/install/platform.mjs"), "utf8"),
    )?.[1];
    expect(readFileSync(join(root, "exec.cmd"), "utf8")).toContain(`echo ${said} 1>&2`);
  });
});
