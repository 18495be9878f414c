import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { within } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";

/** More than the 512 that Bun allows to wait, and few enough for the usual limit of descriptors. */
const CONNECTIONS = 700;

const SOMAXCONN = "/proc/sys/net/core/somaxconn";

/** Connects without TLS or a request. */
function open(url: string, sockets: Socket[]): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  sockets.push(socket);
  return new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
}

test.skipIf(Number(readFileSync(SOMAXCONN, "utf8")) < CONNECTIONS).each(["http", "grpc"])(
  "many clients can connect to the port of %s while the relay accepts none of them",
  async (protocol) => {
    await using relay = await startRelayProcess();
    const sockets: Socket[] = [];
    relay.signal("SIGSTOP");
    try {
      const opened = Promise.all(
        Array.from({ length: CONNECTIONS }, () => open(relay.urlOf(protocol), sockets)),
      );
      // Beyond the backlog the kernel answers nothing.
      await within(opened, 20_000, `${CONNECTIONS} connections`);
      relay.signal("SIGCONT");
      expect((await fetch(`${relay.httpUrl}/v1/health`)).status).toBe(200);
    } finally {
      relay.signal("SIGCONT");
      for (const socket of sockets) socket.destroy();
    }
  },
  40_000,
);
