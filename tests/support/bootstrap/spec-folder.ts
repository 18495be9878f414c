import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder for `--bootstrap-path`, removed at the end. */
export class SpecFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "sfp-bootstrap-"));
  #revision = 0;

  /** Writes a file in place. An object is written as JSON. */
  write(name: string, content: object | string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, toBytes(content));
    return path;
  }

  /** Replaces a file as careful writers do. */
  replace(name: string, content: object | string | Uint8Array): void {
    const partial = this.write(`.${name}.new`, content);
    renameSync(partial, join(this.path, name));
  }

  remove(name: string): void {
    rmSync(join(this.path, name), { recursive: true });
  }

  /** Replaces all files at once, as the kubelet does with those of a ConfigMap: `..data` links to the folder of the newest revision. */
  mount(files: Readonly<Record<string, object>>): void {
    const revision = `..revision_${++this.#revision}`;
    mkdirSync(join(this.path, revision));
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(this.path, revision, name), toBytes(content));
      if (this.#revision === 1) symlinkSync(join("..data", name), join(this.path, name));
    }
    symlinkSync(revision, join(this.path, "..data_tmp"));
    renameSync(join(this.path, "..data_tmp"), join(this.path, "..data"));
    if (this.#revision > 1) this.remove(`..revision_${this.#revision - 1}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function toBytes(content: object | string | Uint8Array): string | Uint8Array {
  return typeof content === "string" || content instanceof Uint8Array ? content : JSON.stringify(content);
}
