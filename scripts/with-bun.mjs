// Runs a TypeScript file with the Bun that package.json pins. It needs only Node.js and npm, and installs the rest:
//   node scripts/with-bun.mjs <file.ts> [arguments...]
// package.json runs it with `exec`, because a shell between npm and this process would not forward npm's signals.
import { spawn } from "node:child_process";
import { delimiter, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureBun } from "./install/install-bun.mjs";
import { checkPlatform } from "./install/platform.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** These need only the packages that the relay needs to run. All other scripts need those for development too. */
const runTimeScripts = ["src/main.ts", "scripts/build.ts", "scripts/command.ts"];

const signals = ["SIGINT", "SIGTERM", "SIGHUP"];

// Ctrl-C under `npm start` arrives twice at once: from the terminal, and from npm, which forwards it.
const sameSignalMs = 300;

async function main([file, ...args]) {
  if (file === undefined) throw new Error("Usage: node scripts/with-bun.mjs <file.ts> [arguments...]");
  checkPlatform();
  const installing = new AbortController();
  const lastAtMs = new Map();
  let deliver = (signal) => installing.abort(signal);
  for (const signal of signals) {
    process.on(signal, () => {
      const now = performance.now();
      if (now - (lastAtMs.get(signal) ?? -sameSignalMs) < sameSignalMs) return;
      lastAtMs.set(signal, now);
      deliver(signal);
    });
  }
  try {
    const bun = await ensureBun(root, !runTimeScripts.includes(file), installing.signal);
    installing.signal.throwIfAborted();
    const child = start(bun, file, args);
    deliver = (signal) => child.kill(signal);
    await waitFor(child);
  } catch (error) {
    if (!installing.signal.aborted) throw error;
    exitBySignal(installing.signal.reason);
  }
}

function start(bun, file, args) {
  // The child runs in its own session, so that it does not get the terminal's Ctrl-C in addition to the forwarded one.
  // --no-orphans ends it if this process is killed and cannot forward the signal.
  return spawn(bun, ["--no-orphans", file, ...args], {
    cwd: root,
    detached: true,
    env: { ...process.env, PATH: `${dirname(bun)}${delimiter}${process.env.PATH ?? ""}` },
    stdio: "inherit",
  });
}

function waitFor(child) {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (signal === null) process.exitCode = code;
      else exitBySignal(signal);
      resolve();
    });
  });
}

function exitBySignal(signal) {
  for (const name of signals) process.removeAllListeners(name);
  process.kill(process.pid, signal);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`with-bun: ${error.message}`);
  process.exitCode = 1;
});
