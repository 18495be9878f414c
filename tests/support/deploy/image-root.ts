import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { FinalImage } from "./final-image.ts";

/** Debian packages that the base image consists of, besides the files of #addBaseFiles. */
const PACKAGES = ["base-files", "ca-certificates", "libc6", "media-types", "netbase", "tzdata"];

export const CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";

const NONROOT = 65532;
const APT_TIMEOUT_MS = 120_000;
const APT_ATTEMPTS = 4;
const APT_PAUSE_MS = 5_000;

/** The root filesystem of the image, made without a container engine. Nothing is installed on this machine. */
export class ImageRoot implements Disposable {
  readonly path: string;

  /** `built` is what the build stage copies to `/`. */
  constructor({ copies, volume, workdir }: FinalImage, built: string) {
    this.path = mkdtempSync(join(tmpdir(), "sfp-image-"));
    try {
      chmodSync(this.path, 0o755);
      this.#unpack();
      this.#addBaseFiles();
      for (const { from, to, chown } of copies) {
        const target = join(this.path, to);
        mkdirSync(dirname(target), { recursive: true });
        if (to === "/") {
          cpSync(built, this.path, { recursive: true, verbatimSymlinks: true });
          continue;
        }
        if (to === volume) mkdirSync(target);
        else if (from.endsWith("LICENSE")) writeFileSync(target, "");
        const [uid, gid] = (chown ?? "0:0").split(":").map(Number);
        chownSync(target, uid ?? 0, gid ?? 0);
      }
      mkdirSync(join(this.path, workdir), { recursive: true });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Adds certificate authorities to the image's bundle, as an operator does who mounts another bundle. */
  trust(caPath: string): void {
    const bundle = join(this.path, CA_BUNDLE);
    writeFileSync(bundle, `${readFileSync(bundle, "utf8")}\n${readFileSync(caPath, "utf8")}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #unpack(): void {
    const folder = mkdtempSync(join(tmpdir(), "sfp-debs-"));
    try {
      const download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", ...PACKAGES];
      // The package lists may be old or missing, or another run may be updating them.
      for (let attempt = 1; !tryRun(download, folder); attempt++) {
        if (attempt > APT_ATTEMPTS) throw new Error(`apt-get cannot download ${PACKAGES.join(", ")}`);
        if (!tryRun(["apt-get", "-qq", "update"], folder)) Bun.sleepSync(APT_PAUSE_MS);
      }
      for (const name of readdirSync(folder)) {
        if (!tryRun(["dpkg", "-x", name, this.path], folder)) throw new Error(`dpkg cannot unpack ${name}`);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Adds the files that a base image has besides the packages. */
  #addBaseFiles(): void {
    const write = (path: string, text: string) => {
      mkdirSync(dirname(join(this.path, path)), { recursive: true });
      writeFileSync(join(this.path, path), text);
    };
    write(
      "/etc/passwd",
      `root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:${NONROOT}:${NONROOT}:nonroot:/home/nonroot:/sbin/nologin\n`,
    );
    write("/etc/group", `root:x:0:\nnonroot:x:${NONROOT}:\n`);
    write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
    write("/etc/nsswitch.conf", "hosts: files dns\n");
    const authorities = join(this.path, "/usr/share/ca-certificates/mozilla");
    const pems = readdirSync(authorities).map((name) => readFileSync(join(authorities, name), "utf8"));
    write(CA_BUNDLE, pems.join("\n"));
    for (const [folder, mode, owner] of [
      ["/tmp", 0o1777, 0],
      ["/home/nonroot", 0o700, NONROOT],
      ["/proc", 0o555, 0],
      ["/dev", 0o755, 0],
    ] as const) {
      mkdirSync(join(this.path, folder), { recursive: true });
      chmodSync(join(this.path, folder), mode);
      chownSync(join(this.path, folder), owner, owner);
    }
  }
}

function tryRun(command: readonly string[], cwd: string): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return Bun.spawnSync([...command], {
    cwd,
    env,
    timeout: APT_TIMEOUT_MS,
    stdio: ["ignore", "ignore", "ignore"],
  }).success;
}
