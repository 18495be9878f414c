/**
 * Loaded into a relay by `--preload`: stands for libraries that print. The main thread prints on SIGUSR2, each Worker thread when
 * it gets its first message.
 */
function printAll(thread: string): void {
  console.error(`printed by a library in ${thread}`, { at: "https://user:hidden-word@host/path" });
  console.log("two\nlines");
  process.emitWarning(`a warning in ${thread}`, "DeprecationWarning");
}

if (Bun.isMainThread) {
  process.on("SIGUSR2", () => printAll("the main thread"));
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      // A Worker does not load what `--preload` names.
      super(script, { ...options, preload: import.meta.path });
    }
  };
} else {
  // The relay's own code has been loaded by then.
  globalThis.addEventListener("message", () => printAll("a Worker"), { once: true });
}
