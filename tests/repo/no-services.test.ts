import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NO_SERVICES, withoutServices } from "../../scripts/test/no-services.ts";

/** A temporary folder instead of /usr/sbin. */
class Folder implements Disposable {
  readonly #path = mkdtempSync(join(tmpdir(), "sfp-policy-"));
  readonly policy = join(this.#path, "policy-rc.d");

  [Symbol.dispose](): void {
    rmSync(this.#path, { recursive: true });
  }
}

/** Calls the policy as `invoke-rc.d` does and returns its exit code. */
const callPolicy = (policy: string, env: Readonly<Record<string, string>>) =>
  spawnSync(policy, ["nginx", "start"], { env: { PATH: process.env["PATH"] ?? "", ...env } }).status;

describe("packages that tests install", () => {
  test("may not start services, while other packages may", async () => {
    using folder = new Folder();
    await withoutServices(async () => {
      expect(callPolicy(folder.policy, NO_SERVICES)).toBe(101);
      expect(callPolicy(folder.policy, {})).toBe(0);
    }, folder.policy);
    expect(existsSync(folder.policy)).toBe(false);
  });

  test("leave no policy behind if the installation fails", async () => {
    using folder = new Folder();
    const failing = withoutServices(() => Promise.reject(new Error("no such package")), folder.policy);
    expect(failing).rejects.toThrow("no such package");
    await failing.catch(() => {});
    expect(existsSync(folder.policy)).toBe(false);
  });

  test("do not change an existing policy of the machine", async () => {
    using folder = new Folder();
    writeFileSync(folder.policy, "mine");
    await withoutServices(async () => {}, folder.policy);
    expect(readFileSync(folder.policy, "utf8")).toBe("mine");
  });
});
