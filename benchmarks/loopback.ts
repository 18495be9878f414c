import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "./bench.ts";
import type { Launched } from "./launched.ts";

/** Returns a port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}

const START_TIMEOUT_MS = 15_000;

/** Resolves with the time (`performance.now()`) of the first 200 from `url`. */
export async function firstAnswer(bench: Bench, server: Launched, url: string, pauseMs = 5): Promise<number> {
  const giveUpAt = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < giveUpAt) {
    bench.signal.throwIfAborted();
    server.checkRunning();
    const status = await fetch(url, { signal: bench.signal }).then(
      (response) => response.arrayBuffer().then(() => response.status),
      () => 0,
    );
    if (status === 200) return performance.now();
    await sleep(pauseMs);
  }
  throw new Error(`no 200 from ${new URL(url).pathname} within ${START_TIMEOUT_MS / 1_000} s`);
}
