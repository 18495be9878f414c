import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "../command.ts";
import { formatManPage } from "./man-page.ts";

export interface PayloadOptions {
  /** The folder that becomes the root folder of the package. */
  readonly folder: string;
  readonly executable: string;
  readonly version: string;
  /** Where zsh of the distribution looks for completions. */
  readonly zshFolder: string;
}

/** The file of settings, which an upgrade keeps. */
export const CONFIG_PATH = "/etc/statsig-forward-proxy/environment";

const NAME = "statsig-forward-proxy";
const EXECUTABLE = `/usr/bin/${NAME}`;

/** Writes the files that both kinds of packages install. */
export function writePayload({ folder, executable, version, zshFolder }: PayloadOptions): void {
  const write = (path: string, content: string | Uint8Array, mode = 0o644) => {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
    chmodSync(target, mode);
  };
  const source = (path: string) => readFileSync(join(root, path), "utf8");
  const target = join(folder, EXECUTABLE);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(executable, target);
  chmodSync(target, 0o755);
  write(`/usr/lib/systemd/system/${NAME}.service`, packagedUnit(source(`deploy/systemd/${NAME}.service`)));
  write(CONFIG_PATH, source("deploy/packages/environment"), 0o640);
  write(`/usr/share/bash-completion/completions/${NAME}`, completions("bash"));
  write(`/usr/share/fish/vendor_completions.d/${NAME}.fish`, completions("fish"));
  write(`${zshFolder}/_${NAME}`, completions("zsh"));
  write(`/usr/share/man/man1/${NAME}.1.gz`, gzipSync(formatManPage(version), { level: 9 }));
  write(`/usr/share/doc/${NAME}/copyright`, source("LICENSE"));
}

/** /usr/local is for what does not come from packages. */
function packagedUnit(unit: string): string {
  return unit
    .replaceAll(`/usr/local/bin/${NAME}`, EXECUTABLE)
    .replace("Documentation=man:systemd.service(5)", `Documentation=man:${NAME}(1)`);
}

/** Runs the sources, since an executable for another machine would not run here. */
function completions(shell: string): string {
  const { success, stdout, stderr } = Bun.spawnSync([
    process.execPath,
    join(root, "src", "main.ts"),
    "completions",
    shell,
  ]);
  if (!success) throw new Error(stderr.toString());
  return stdout.toString();
}
