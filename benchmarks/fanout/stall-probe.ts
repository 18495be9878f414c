// Sends HTTP/2 PINGs on many connections, so that each serving thread has some, and for each line on its input writes the
// longest time, in ms, that one took since the line before: no event loop of the server was blocked for longer.
//   bun stall-probe.ts <url>
import { constants, setPriority } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { StreamConnection } from "../../tests/support/clients/stream-connection.ts";

/** With two threads, all of them are on one thread in one run of two thousand. */
const CONNECTIONS = 12;
const PING_EVERY_MS = 10;

const [url = ""] = process.argv.slice(2);

try {
  // It shares its core with the client, for which it must not wait.
  setPriority(constants.priority.PRIORITY_HIGHEST);
} catch {
  // Only root may. Without it, the wait is longer than that for the server alone.
}

let longestMs = 0;
/** When the PINGs that wait for a response were sent. */
const waiting = new Set<number>();

async function probe(): Promise<void> {
  for (;;) {
    using connection = await StreamConnection.open(url);
    // The server closes a connection without a stream after a minute or so.
    while (!connection.isClosed) await pingOnce(connection).catch(() => {});
  }
}

async function pingOnce(connection: StreamConnection): Promise<void> {
  const sentAt = performance.now();
  waiting.add(sentAt);
  try {
    longestMs = Math.max(longestMs, await connection.ping());
  } finally {
    waiting.delete(sentAt);
  }
  await sleep(PING_EVERY_MS);
}

for (let at = 0; at < CONNECTIONS; at++)
  probe().catch((error) => {
    process.stderr.write(`stall probe: ${error}\n`);
    process.exit(1);
  });

for await (const _ of createInterface({ input: process.stdin })) {
  const now = performance.now();
  const pending = Array.from(waiting, (sentAt) => now - sentAt);
  process.stdout.write(`${JSON.stringify(Math.max(longestMs, ...pending))}\n`);
  longestMs = 0;
}
