import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { within } from "../common/wait.ts";
import type { Certified } from "./pki.ts";

/** The files of a certificate, its key and a CA, and the ways to replace them. */
export class CertificateFiles implements Disposable, Certified {
  readonly #folder = mkdtempSync(join(tmpdir(), "sfp-certificate-files-"));
  readonly certPath = join(this.#folder, "tls.crt");
  readonly keyPath = join(this.#folder, "tls.key");
  readonly caPath = join(this.#folder, "ca.crt");
  #version = 0;

  // A relay takes files for complete that have not changed for 100 ms: all that takes time is done before the first one changes.

  /** Overwrites each file in place. */
  inPlace(files: Certified, caPath: string): void {
    const contents = this.#pairs(files, caPath).map(
      ([target, source]) => [target, readFileSync(source)] as const,
    );
    for (const [target, content] of contents) writeFileSync(target, content);
  }

  /** Writes each file to another path, then renames it. */
  byRename(files: Certified, caPath: string): void {
    const pairs = this.#pairs(files, caPath);
    for (const [target, source] of pairs) copyFileSync(source, `${target}.new`);
    for (const [target] of pairs) renameSync(`${target}.new`, target);
  }

  /** As Kubernetes does for a mounted secret: the files are symlinks through `..data`, which is pointed to a new folder. */
  bySymlink(files: Certified, caPath: string): void {
    const version = `..2026_${++this.#version}`;
    mkdirSync(join(this.#folder, version));
    for (const [target, source] of this.#pairs(files, caPath)) {
      const name = target.slice(this.#folder.length + 1);
      copyFileSync(source, join(this.#folder, version, name));
      if (this.#version === 1) symlinkSync(join("..data", name), target);
    }
    symlinkSync(version, join(this.#folder, "..data_tmp"));
    renameSync(join(this.#folder, "..data_tmp"), join(this.#folder, "..data"));
    rmSync(join(this.#folder, `..2026_${this.#version - 1}`), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #pairs({ certPath, keyPath }: Certified, caPath: string): [target: string, source: string][] {
    return [
      [this.certPath, certPath],
      [this.keyPath, keyPath],
      [this.caPath, caPath],
    ];
  }
}

/** Returns the serial number of a certificate file in hexadecimal. */
export const serialIn = ({ certPath }: Certified): string =>
  new X509Certificate(readFileSync(certPath)).serialNumber.toLowerCase();

/** Returns the serial number of the certificate that a server presents on a new connection. */
export async function serialShown(url: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  socket.on("error", () => undefined);
  try {
    await within(once(socket, "secureConnect"), 10_000, "a handshake");
    return socket.getPeerCertificate().serialNumber.toLowerCase();
  } finally {
    socket.destroy();
  }
}
