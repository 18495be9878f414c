// Runs a TypeScript file with the Bun that package.json pins, on a machine that has only Node and npm:
//   node scripts/with-bun.mjs <file.ts> [arguments...]
// package.json calls it with `exec`: a shell that stayed between npm and this process would swallow npm's signals.
import { spawn } from "node:child_process";
import { delimiter, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { readyBun } from "./install/install-bun.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const signals = ["SIGINT", "SIGTERM", "SIGHUP"];

// A Ctrl-C under `npm start` arrives here twice at once: from the terminal and from npm, which forwards it.
const sameSignalMs = 300;

async function main([file, ...args]) {
  if (file === undefined) throw new Error("Usage: node scripts/with-bun.mjs <file.ts> [arguments...]");
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
    const bun = await readyBun(root, installing.signal);
    installing.signal.throwIfAborted();
    const child = start(bun, file, args);
    deliver = (signal) => child.kill(signal);
    await ended(child);
  } catch (error) {
    if (!installing.signal.aborted) throw error;
    endBy(installing.signal.reason);
  }
}

function start(bun, file, args) {
  // A session of its own keeps the terminal's Ctrl-C from the child, so that the one forwarded from here is
  // the only one it sees; --no-orphans ends it when this process is killed without a chance to forward.
  return spawn(bun, ["--no-orphans", file, ...args], {
    cwd: root,
    detached: true,
    env: { ...process.env, PATH: `${dirname(bun)}${delimiter}${process.env.PATH ?? ""}` },
    stdio: "inherit",
  });
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (signal === null) process.exitCode = code;
      else endBy(signal);
      resolve();
    });
  });
}

function endBy(signal) {
  for (const name of signals) process.removeAllListeners(name);
  process.kill(process.pid, signal);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`with-bun: ${error.message}`);
  process.exitCode = 1;
});
