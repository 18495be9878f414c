import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../command.ts";
import type { LinuxPackage } from "./linux-package.ts";
import { writePayload } from "./payload.ts";
import { runTool } from "./run-tool.ts";

const ARCHITECTURES = { "linux-x64": "x86_64", "linux-arm64": "aarch64" } as const;

/** Builds the package with rpmbuild and returns the name of its file. Throws if that fails. */
export function buildRpm({ target, executable, version, timeS, outdir }: LinuxPackage): string {
  const architecture = ARCHITECTURES[target];
  // In rpm's order of versions, a tilde is before everything.
  const rpmVersion = version.replace("-", "~");
  const name = `statsig-forward-proxy-${rpmVersion}-1.${architecture}.rpm`;
  const folder = mkdtempSync(join(tmpdir(), "sfp-rpm-"));
  try {
    const payload = join(folder, "payload");
    mkdirSync(payload);
    writePayload({ folder: payload, executable, version, zshFolder: "/usr/share/zsh/site-functions" });
    const macros: Readonly<Record<string, string>> = {
      _topdir: join(folder, "build"),
      relay_version: rpmVersion,
      relay_payload: payload,
      _buildhost: "localhost",
      use_source_date_epoch_as_buildtime: "1",
      clamp_mtime_to_source_date_epoch: "1",
    };
    const defines = Object.entries(macros).flatMap(([macro, value]) => ["--define", `${macro} ${value}`]);
    const spec = join(root, "deploy/packages/relay.spec");
    const command = ["rpmbuild", "-bb", "--quiet", "--target", `${architecture}-linux`] as const;
    runTool({ command: [...command, ...defines, spec], from: "rpm", timeS });
    copyFileSync(join(folder, "build", "RPMS", architecture, name), join(outdir, name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return name;
}
