import { mkdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const beatMs = 1_000;
const staleMs = 15_000;

/** Runs `action` while holding the directory `lock`: of several processes in one clone only one installs. */
export async function withInstallLock(lock, signal, action) {
  for (let told = false; !take(lock); told = true) {
    if (!told) console.error("Waiting for another run that is installing");
    if (ageMs(lock) > staleMs) removeStale(lock);
    await sleep(100 + Math.random() * 100, undefined, { signal });
  }
  // A time that moves, and not a process id, shows that the holder lives: ids mean nothing across containers.
  const beat = setInterval(() => touch(lock), beatMs);
  try {
    return await action();
  } finally {
    clearInterval(beat);
    rmSync(lock, { recursive: true, force: true });
  }
}

function take(lock) {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function ageMs(lock) {
  try {
    return Date.now() - statSync(lock).mtimeMs;
  } catch {
    return 0;
  }
}

// Of several waiters only one can rename. What it caught is looked at again: another waiter may have replaced
// the stale lock between the look and the rename.
function removeStale(lock) {
  const caught = `${lock}-stale-${process.pid}`;
  try {
    renameSync(lock, caught);
    if (ageMs(caught) > staleMs) rmSync(caught, { recursive: true, force: true });
    else renameSync(caught, lock);
  } catch {
    // Another waiter was first.
  }
}

function touch(lock) {
  try {
    utimesSync(lock, new Date(), new Date());
  } catch {
    // Taken for stale while this process was suspended; the work goes on, it is safe to do twice.
  }
}
