import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "../command.ts";
import type { LinuxPackage } from "./linux-package.ts";
import { CONFIG_PATH, writePayload } from "./payload.ts";
import { runTool } from "./run-tool.ts";

const ARCHITECTURES = { "linux-x64": "amd64", "linux-arm64": "arm64" } as const;
const MAINTAINER = "Statsig forward proxy <noreply@example.com>";
const SCRIPTS = ["postinst", "prerm", "postrm"];

/**
 * Builds the package with dpkg-deb and returns the name of its file. Throws if that fails. Debian 11 cannot read a package that is
 * compressed with zstd; `none` is for one that stays on this machine.
 */
export function buildDeb(
  { target, executable, version, timeS, outdir }: LinuxPackage,
  compression: "xz" | "none" = "xz",
): string {
  const architecture = ARCHITECTURES[target];
  // In Debian's order of versions, a tilde is before everything.
  const debVersion = version.replace("-", "~");
  const name = `statsig-forward-proxy_${debVersion}_${architecture}.deb`;
  const folder = mkdtempSync(join(tmpdir(), "sfp-deb-"));
  try {
    chmodSync(folder, 0o755);
    writePayload({ folder, executable, version, zshFolder: "/usr/share/zsh/vendor-completions" });
    const documents = join(folder, "usr/share/doc/statsig-forward-proxy");
    writeFileSync(
      join(documents, "changelog.gz"),
      gzipSync(formatChangelog(debVersion, timeS), { level: 9 }),
    );
    const overrides = join(folder, "usr/share/lintian/overrides/statsig-forward-proxy");
    mkdirSync(dirname(overrides), { recursive: true });
    copyFileSync(join(root, "deploy/packages/deb/lintian-overrides"), overrides);
    const control = join(folder, "DEBIAN");
    mkdirSync(control);
    writeFileSync(join(control, "control"), formatControl(debVersion, architecture));
    writeFileSync(join(control, "conffiles"), `${CONFIG_PATH}\n`);
    for (const script of SCRIPTS) {
      copyFileSync(join(root, "deploy/packages/deb", script), join(control, script));
      chmodSync(join(control, script), 0o755);
    }
    const command = ["dpkg-deb", "--root-owner-group", `-Z${compression}`, "-z2", "--build"] as const;
    runTool({ command: [...command, folder, join(outdir, name)], from: "dpkg", timeS });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return name;
}

/** Debian wants the history in its own form. Ours is in CHANGELOG.md. */
function formatChangelog(version: string, timeS: number): string {
  const date = new Date(timeS * 1000).toUTCString().replace("GMT", "+0000");
  return `statsig-forward-proxy (${version}) unstable; urgency=medium

  * Release ${version}. The release notes list the changes.

 -- ${MAINTAINER}  ${date}
`;
}

function formatControl(version: string, architecture: string): string {
  return `Package: statsig-forward-proxy
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Depends: libc6 (>= 2.17)
Recommends: systemd, ca-certificates
Section: net
Priority: optional
Description: Relay between Statsig's CDN and your servers
 Polls the config specs of each SDK key once, keeps the newest version in
 memory and serves it to Statsig's server SDKs over HTTP and gRPC. A failure
 of Statsig never removes the last known good config.
`;
}
