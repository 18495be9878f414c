import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withoutServices } from "../../scripts/test/no-services.ts";

/** A temporary folder instead of /usr/sbin. */
class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "sfp-policy-"));
  readonly policy = join(this.path, "policy-rc.d");

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** Calls the policy as `invoke-rc.d` does and returns its exit code. */
const callPolicy = (policy: string, env: Readonly<Record<string, string>>) =>
  spawnSync(policy, ["nginx", "start"], { env: { PATH: process.env["PATH"] ?? "", ...env } }).status;

/** Calls a program as a package does that is installed in this environment; the system's program prints its arguments. */
function callProgram(env: Readonly<Record<string, string>>, folder: Folder, ...command: string[]): string {
  const [name = ""] = command;
  writeFileSync(join(folder.path, name), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
  const [ours = "", ...rest] = (env["PATH"] ?? "").split(":");
  const child = spawnSync("sh", ["-c", command.join(" ")], {
    env: { ...env, PATH: [ours, folder.path, ...rest].join(":") },
  });
  expect(child.status).toBe(0);
  return child.stdout.toString().trimEnd();
}

describe("packages that tests install", () => {
  test("may not start services, while other packages may", async () => {
    using folder = new Folder();
    await withoutServices(async (env) => {
      expect(callPolicy(folder.policy, env)).toBe(101);
      expect(callPolicy(folder.policy, {})).toBe(0);
    }, folder.policy);
    expect(existsSync(folder.policy)).toBe(false);
  });

  test.each([
    // Whether the unit is enabled, instead of whether it may be: a new one is not, and one that a user has enabled is.
    ["deb-systemd-helper --quiet was-enabled nginx.service", "--quiet is-enabled nginx.service"],
    ["deb-systemd-helper update-state nginx.service", "update-state nginx.service"],
    ["update-rc.d nginx defaults", "nginx defaults-disabled"],
    ["update-rc.d nginx remove", "nginx remove"],
    ["systemctl enable getty@.service", ""],
    ["systemctl --system daemon-reload", "--system daemon-reload"],
  ])("do not enable services for the next boot: %s", async (command, called) => {
    using folder = new Folder();
    await withoutServices(async (env) => {
      expect(callProgram(env, folder, ...command.split(" "))).toBe(called);
    }, folder.policy);
  });

  test("leave no policy behind if the installation fails", async () => {
    using folder = new Folder();
    const failing = withoutServices(() => Promise.reject(new Error("no such package")), folder.policy);
    await expect(failing).rejects.toThrow("no such package");
    expect(existsSync(folder.policy)).toBe(false);
    let programs = "";
    await withoutServices(async ({ PATH = "" }) => {
      programs = PATH.split(":")[0] ?? "";
    }, folder.policy);
    expect(existsSync(programs)).toBe(false);
  });

  test("do not change an existing policy of the machine", async () => {
    using folder = new Folder();
    writeFileSync(folder.policy, "mine");
    await withoutServices(async () => {}, folder.policy);
    expect(readFileSync(folder.policy, "utf8")).toBe("mine");
  });
});
