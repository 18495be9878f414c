import { createServer } from "node:net";

// Below the ports that the system gives to outgoing connections: one of those could take the place of a server
// that is stopped for a while.
const FIRST = 10_000;
const COUNT = 12_000;

/** A port on which nobody listens just now; two runs at once are unlikely to be given the same. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
