import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import packageJson from "../../package.json";
import { RUNTIME_VERSION, TARGET_NAMES, TARGETS } from "../../scripts/binary/targets.ts";

const out = mkdtempSync(join(tmpdir(), "sfp-build-all-"));
const BUILT = ["linux-x64", "linux-arm64"] as const;
/** The machine of an ELF file, at offset 18. */
const MACHINES = { "linux-x64": 0x3e, "linux-arm64": 0xb7 };

const script = (name: string) => fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url));
const findExecutable = (target: string) => join(out, `statsig-forward-proxy-${target}`);
const hashFile = (path: string) => new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");

function run(name: string, ...args: string[]) {
  const env = { ...process.env, SFP_BUILD_COMMIT: "abc1234" };
  const done = Bun.spawnSync([process.execPath, script(name), ...args], { env, timeout: 280_000 });
  return { exitCode: done.exitCode, stdout: done.stdout.toString(), stderr: done.stderr.toString() };
}

beforeAll(() => {
  const { exitCode, stderr } = run("build-all.ts", "--outdir", out, "--targets", BUILT.join(","));
  if (exitCode !== 0) throw new Error(stderr);
}, 300_000);
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe("npm run build:all", () => {
  test("knows seven platforms, each with the pinned Bun and its hash", () => {
    expect(TARGET_NAMES).toHaveLength(7);
    expect(RUNTIME_VERSION).toBe(packageJson.engines.bun);
    for (const { integrity } of Object.values(TARGETS)) expect(integrity).toMatch(/^sha512-[\w+/]{86}==$/);
  });

  test.each(BUILT)("builds an executable for %s", (target) => {
    const head = Buffer.alloc(20);
    readSync(openSync(findExecutable(target), "r"), head);
    expect(head.toString("latin1", 1, 4)).toBe("ELF");
    expect(head.readUInt16LE(18)).toBe(MACHINES[target]);
    expect(statSync(findExecutable(target)).mode & 0o777).toBe(0o755);
  });

  test("lists the hash of every file in the format of sha256sum", () => {
    const lines = readFileSync(join(out, "SHA256SUMS"), "utf8").trimEnd().split("\n");
    const names = lines.map((line) => {
      const [hash = "", name = ""] = line.split("  ");
      expect(hashFile(join(out, name))).toBe(hash);
      return name;
    });
    const others = readdirSync(out).filter((name) => !/SHA256SUMS|\.sha256$/.test(name));
    expect(names.sort()).toEqual(others.sort());
    for (const target of BUILT) {
      expect(lines).toContain(readFileSync(`${findExecutable(target)}.sha256`, "utf8").trimEnd());
    }
  });

  test.skipIf(process.platform !== "linux" || process.arch !== "x64")(
    "prints version, commit and Bun version",
    () => {
      const { stdout } = Bun.spawnSync([findExecutable("linux-x64"), "--version"]);
      expect(stdout.toString()).toBe(
        `statsig-forward-proxy ${packageJson.version} (abc1234, Bun ${packageJson.engines.bun})\n`,
      );
    },
  );
});

interface Bill {
  readonly metadata: { readonly component: { readonly hashes: readonly { readonly content: string }[] } };
  readonly components: readonly {
    readonly purl?: string;
    readonly "bom-ref": string;
    readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
    readonly licenses?: readonly object[];
  }[];
}

describe("the bill of materials", () => {
  const textOf = (target: string) => readFileSync(`${findExecutable(target)}.cdx.json`, "utf8");
  const billOf = (target: string) => JSON.parse(textOf(target)) as Bill;
  const purlsOf = (target: string) => billOf(target).components.map(({ purl }) => purl);

  test.each(BUILT)("is valid CycloneDX 1.6, for %s", async (target) => {
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    expect(await validator.validate(textOf(target))).toBeNull();
  });

  test("names the hash of its executable, and its Bun", () => {
    for (const target of BUILT) {
      expect(billOf(target).metadata.component.hashes[0]?.content).toBe(hashFile(findExecutable(target)));
      expect(purlsOf(target)).toContain(
        `pkg:npm/${TARGETS[target].runtime.replace("@", "%40")}@${RUNTIME_VERSION}`,
      );
    }
  });

  test("lists each package with URL, hash and license, including transitive dependencies", () => {
    const packages = billOf("linux-x64").components.filter(({ purl }) => purl !== undefined);
    for (const { hashes, licenses } of packages) {
      expect(hashes?.[0]).toEqual({ alg: "SHA-512", content: expect.stringMatching(/^[0-9a-f]{128}$/) });
      expect(licenses).toHaveLength(1);
    }
    const hono = packageJson.dependencies.hono;
    expect(purlsOf("linux-x64")).toContain(`pkg:npm/hono@${hono}`);
    expect(purlsOf("linux-x64").join(" ")).toContain("pkg:npm/redis-errors@");
  });

  test("lists no development dependencies", () => {
    const purls = purlsOf("linux-x64").join(" ");
    for (const name of ["typescript", "fast-check", "ajv", "playwright-core"]) {
      expect(purls).not.toContain(`pkg:npm/${name}@`);
    }
  });
});

test("two builds in different environments are identical", () => {
  expect(run("reproducible.ts")).toEqual({
    exitCode: 0,
    stdout: expect.stringMatching(/^identical builds: /),
    stderr: "",
  });
}, 300_000);
