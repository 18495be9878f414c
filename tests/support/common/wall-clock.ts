import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Sets the wall clock of a child process while it runs. Its monotonic clock is not affected. */
export class WallClock implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "sfp-wall-clock-"));
  readonly #file = join(this.#folder, "offset");

  constructor() {
    this.set(0);
  }

  /** Environment variables for the process. */
  get env(): Readonly<Record<string, string>> {
    const { stdout } = Bun.spawnSync(["faketime", "-m", "-f", "+0", "printenv", "LD_PRELOAD"]);
    return {
      LD_PRELOAD: stdout.toString().trim(),
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
  }

  /** Sets the wall clock this number of seconds ahead of the machine's. */
  set(aheadS: number): void {
    writeFileSync(this.#file, `${aheadS < 0 ? "" : "+"}${aheadS}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
