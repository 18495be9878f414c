import { describe, expect, test } from "bun:test";
import { allocateCount, releaseSlot, SharedCount } from "../../src/platform/shared-count.ts";
import { reservePort } from "../../src/server/ports.ts";
import { FRAME, frame } from "../support/clients/http2-frames.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { eventually } from "../support/common/wait.ts";
import type { ListenTask } from "../support/relay/listening-worker.ts";

const WORKERS = 3;
const CONNECTIONS = 12;
const PATIENCE = { withinMs: 15_000 };

async function startWorker(task: ListenTask) {
  const worker = new Worker(new URL("../support/relay/listening-worker.ts", import.meta.url));
  const listening = Promise.withResolvers<unknown>();
  const closed = Promise.withResolvers<unknown>();
  worker.onmessage = listening.resolve;
  worker.onerror = listening.reject;
  worker.addEventListener("close", closed.resolve);
  worker.postMessage(task);
  await listening.promise;
  return {
    [Symbol.asyncDispose]: async () => {
      worker.terminate();
      await closed.promise;
    },
  };
}

const REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PING = frame(FRAME.ping, 0, 0, Buffer.alloc(8));

describe.each(["http", "http2"] as const)("Workers that share a port: %s", (protocol) => {
  /** Returns a connection that has a response, or undefined if it was closed without one. */
  const connect = async (port: number): Promise<RawConnection | undefined> => {
    const url = `http://127.0.0.1:${port}`;
    try {
      const connection =
        protocol === "http" ? await RawConnection.open(url) : (await RawHttp2.open(url)).connection;
      const before = connection.received.length;
      connection.write(protocol === "http" ? REQUEST : PING);
      await eventually(
        () => expect(connection.isClosed || connection.received.length > before).toBe(true),
        PATIENCE,
      );
      return connection.received.length > before ? connection : undefined;
    } catch {
      return undefined;
    }
  };

  const openAll = async (port: number, count: number): Promise<RawConnection[]> => {
    const opened = await Promise.all(Array.from({ length: count }, () => connect(port)));
    return opened.filter((connection) => connection !== undefined);
  };

  test("limit its connections together, also after one of them was terminated", async () => {
    await using stack = new AsyncDisposableStack();
    const memory = allocateCount(WORKERS);
    const count = new SharedCount(memory);
    const reservation = reservePort("127.0.0.1", 0);
    const { port } = reservation;
    const task = { protocol, port, memory, maxConnections: CONNECTIONS };
    const workers = await Promise.all(
      Array.from({ length: WORKERS }, async (_, slot) => stack.use(await startWorker({ ...task, slot }))),
    );
    reservation[Symbol.dispose]();

    const connections = await openAll(port, 3 * CONNECTIONS);
    stack.defer(() => {
      for (const connection of connections) connection[Symbol.dispose]();
    });
    await eventually(
      () => expect([connections.length, count.value]).toEqual([CONNECTIONS, CONNECTIONS]),
      PATIENCE,
    );
    for (const closed of connections.splice(0, 2)) closed[Symbol.dispose]();
    await eventually(() => expect(count.value).toBe(CONNECTIONS - 2), PATIENCE);
    connections.push(...(await openAll(port, CONNECTIONS)));
    await eventually(
      () => expect([connections.length, count.value]).toEqual([CONNECTIONS, CONNECTIONS]),
      PATIENCE,
    );

    await workers[0]?.[Symbol.asyncDispose]();
    const released = releaseSlot(memory, 0);
    const isOpen = (connection: RawConnection) => !connection.isClosed;
    await eventually(() => expect(connections.filter(isOpen).length).toBe(CONNECTIONS - released), PATIENCE);
    expect(count.value).toBe(CONNECTIONS - released);
    await openAll(port, 3 * CONNECTIONS).then((more) => connections.push(...more));
    await eventually(() => expect(connections.filter(isOpen).length).toBe(CONNECTIONS), PATIENCE);
    expect(count.value).toBe(CONNECTIONS);
  });
});
