import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";

afterAll(deleteFolders);

const MB = 1024 * 1024;

/** Runs in a process of its own, whose memory is that of the spool. */
function measure(batches: number, eventBytes: number, maxBytes: number) {
  const script = join(import.meta.dir, "../support/sqlite", "spool-rate-process.ts");
  const args = [script, newFolder(), ...[batches, eventBytes, maxBytes].map(String)];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  const { perSecond, grownBytes, depth, reopenMs, takeMs } = JSON.parse(stdout);
  console.log(
    `${batches} batches of ${eventBytes} bytes, 50 at once: up to ${Math.round(perSecond)}/s; ${depth} are kept; ` +
      `memory grew by ${Math.round(grownBytes / MB)} MB; reopened in ${Math.round(reopenMs)} ms; ` +
      `one of 1,000 groups is taken in ${takeMs.toFixed(1)} ms`,
  );
  return { perSecond, grownBytes, depth, takeMs };
}

test("puts at least 1,000 requests per second", () => {
  const { perSecond, depth, takeMs } = measure(30_000, 300, 512 * MB);
  expect(depth).toBe(30_000);
  expect(perSecond).toBeGreaterThan(1_000);
  expect(takeMs).toBeLessThan(250);
}, 120_000);

test("memory does not grow with the number of events", () => {
  const { grownBytes, depth } = measure(4_000, 40_000, 256 * MB);
  expect(depth).toBeGreaterThan(3_000);
  expect(grownBytes).toBeLessThan(75 * MB);
}, 120_000);
