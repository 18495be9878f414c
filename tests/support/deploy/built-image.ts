import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FinalImage, readFinalImage } from "./final-image.ts";
import { ImageRoot } from "./image-root.ts";

/** The root filesystem of the Dockerfile's last stage, with an executable that was just built from the sources. */
export class BuiltImage implements Disposable {
  readonly image: FinalImage = readFinalImage();
  readonly root: ImageRoot;

  constructor() {
    const built = mkdtempSync(join(tmpdir(), "sfp-image-build-"));
    try {
      const script = fileURLToPath(new URL("../../../scripts/build.ts", import.meta.url));
      const { success, stderr } = Bun.spawnSync([process.execPath, script, "--image-root", built]);
      if (!success) throw new Error(stderr.toString());
      this.root = new ImageRoot(this.image, built);
    } finally {
      rmSync(built, { recursive: true, force: true });
    }
  }

  [Symbol.dispose](): void {
    this.root[Symbol.dispose]();
  }
}
