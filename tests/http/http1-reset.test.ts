import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HttpListener } from "../../src/http/http-listener.ts";
import { SharedCount } from "../../src/platform/shared-count.ts";
import { eventually } from "../support/common/wait.ts";

/** Sends a second request while the first waits, so that the listener stops reading, and then resets the connection. */
const CLIENT = `
  const request = "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n";
  const socket = require("node:net").connect(Number(process.argv[1]), "127.0.0.1", () => socket.write(request));
  setTimeout(() => socket.write(request), 150);
  setTimeout(() => socket.resetAndDestroy(), 400);
`;

// A write can find the reset before the event loop does. Bun then reports no end of a connection that it does not read from.
test("a connection that is reset while its response is made is closed", async () => {
  let handled = 0;
  const listener = new HttpListener({
    bindAddress: "127.0.0.1",
    port: 0,
    reusePort: false,
    handler: {
      fromCache: () => undefined,
      handle: async () => {
        handled++;
        await sleep(300);
        // The event loop sees nothing of the reset before the response is written.
        Bun.sleepSync(400);
        return new Response("done");
      },
    },
    maxConnections: 10,
    connections: new SharedCount(),
    maxHeaderBytes: 16_384,
    headerTimeoutMs: 60_000,
    idleTimeoutMs: 60_000,
    unreadTimeoutMs: 60_000,
    emitLimit: () => {},
  });
  try {
    const client = Bun.spawn([process.execPath, "-e", CLIENT, String(listener.port)]);
    await eventually(() => expect(handled).toBeGreaterThan(0), { withinMs: 15_000 });
    expect(await client.exited).toBe(0);
    await eventually(() => expect(listener.connections).toBe(0), { withinMs: 15_000 });
  } finally {
    listener.abort();
  }
});
