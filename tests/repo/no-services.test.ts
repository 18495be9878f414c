import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NO_SERVICES, withoutServices } from "../../scripts/test/no-services.ts";

/** A folder in the place of /usr/sbin. */
class Folder implements Disposable {
  readonly #path = mkdtempSync(join(tmpdir(), "sfp-policy-"));
  readonly policy = join(this.#path, "policy-rc.d");

  [Symbol.dispose](): void {
    rmSync(this.#path, { recursive: true });
  }
}

/** As `invoke-rc.d` asks it. */
const answerOf = (policy: string, env: Readonly<Record<string, string>>) =>
  spawnSync(policy, ["nginx", "start"], { env: { PATH: process.env["PATH"] ?? "", ...env } }).status;

describe("packages that tests install", () => {
  test("may not start services, those of others may", async () => {
    using folder = new Folder();
    await withoutServices(async () => {
      expect(answerOf(folder.policy, NO_SERVICES)).toBe(101);
      expect(answerOf(folder.policy, {})).toBe(0);
    }, folder.policy);
    expect(existsSync(folder.policy)).toBe(false);
  });

  test("leave no policy behind when they fail", async () => {
    using folder = new Folder();
    const failing = withoutServices(() => Promise.reject(new Error("no such package")), folder.policy);
    expect(failing).rejects.toThrow("no such package");
    await failing.catch(() => {});
    expect(existsSync(folder.policy)).toBe(false);
  });

  test("leave the machine's own policy as it is", async () => {
    using folder = new Folder();
    writeFileSync(folder.policy, "mine");
    await withoutServices(async () => {}, folder.policy);
    expect(readFileSync(folder.policy, "utf8")).toBe("mine");
  });
});
