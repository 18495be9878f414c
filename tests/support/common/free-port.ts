import { createServer, type Server } from "node:net";

// Below the system's range for outgoing connections, which could take the port of a server that is stopped for a while.
const FIRST = 10_000;
const BLOCKS = 600;
const BLOCK_SIZE = 20;

/** Ports of blocks that this process has taken, and that were not returned yet. */
const own: number[] = [];
/** The listener on the first port of a block says that the block is taken. The kernel closes it with this process. */
const locks: Server[] = [];

/**
 * Returns a port on which nothing listens. No other test gets it, in this process or another one, so that a server can be stopped and
 * started again on its port.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = own.pop();
    if (port === undefined) own.push(...(await takeBlock()));
    else if (await isFree(port)) return port;
  }
}

async function takeBlock(): Promise<number[]> {
  for (;;) {
    const first = FIRST + BLOCK_SIZE * Math.floor(Math.random() * BLOCKS);
    const lock = await listen(first);
    if (lock === undefined) continue;
    locks.push(lock.unref());
    return Array.from({ length: BLOCK_SIZE - 1 }, (_, at) => first + 1 + at);
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = await listen(port);
  if (server === undefined) return false;
  await new Promise((closed) => server.close(closed));
  return true;
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((connection) => connection.destroy());
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
