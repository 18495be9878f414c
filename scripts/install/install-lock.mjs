import { mkdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const heartbeatMs = 1_000;
const staleMs = 15_000;

/** Runs `action` while holding the directory `lock`, so that only one of several processes in a clone installs. */
export async function withInstallLock(lock, signal, action) {
  for (let isWaiting = false; !take(lock); isWaiting = true) {
    if (!isWaiting) console.error("Waiting for another process that is installing");
    if (ageMs(lock) > staleMs) removeStale(lock);
    await sleep(100 + Math.random() * 100, undefined, { signal });
  }
  // The modification time shows that the holder is alive. A process id would mean nothing in another container.
  const heartbeat = setInterval(() => touch(lock), heartbeatMs);
  try {
    return await action();
  } finally {
    clearInterval(heartbeat);
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

// Only one of several waiters can rename the lock. It checks the age again after the rename, since another waiter may have
// replaced the stale lock in between.
function removeStale(lock) {
  const renamed = `${lock}-stale-${process.pid}`;
  try {
    renameSync(lock, renamed);
    if (ageMs(renamed) > staleMs) rmSync(renamed, { recursive: true, force: true });
    else renameSync(renamed, lock);
  } catch {
    // Another waiter renamed it first.
  }
}

function touch(lock) {
  try {
    utimesSync(lock, new Date(), new Date());
  } catch {
    // Another process removed the lock as stale while this one was suspended. Continue: installing twice is safe.
  }
}
