import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of configuration files, which is deleted on disposal. */
export class ConfigFiles implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "sfp-config-"));
  #count = 0;

  /** Writes another file, and returns its path. */
  write(text: string, ending = "yaml"): string {
    this.#count++;
    const path = join(this.folder, `relay-${this.#count}.${ending}`);
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
