/**
 * Loaded into a relay by `--preload`: stands for libraries that print. The main thread prints on SIGUSR2, each Worker thread when
 * it gets its first message.
 */
import { isMainThread, withPreload } from "../common/preload.ts";

function printAll(thread: string): void {
  console.error(`printed by a library in ${thread}`, { at: "https://user:hidden-word@host/path" });
  console.log("two\nlines");
  process.emitWarning(`a warning in ${thread}`, "DeprecationWarning");
}

if (isMainThread) {
  process.on("SIGUSR2", () => printAll("the main thread"));
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      // A Worker does not load what `--preload` names.
      super(...withPreload(import.meta.url, script, options));
    }
  };
} else {
  // The relay's own code has been loaded by then.
  globalThis.addEventListener("message", () => printAll("a Worker"), { once: true });
}
