import { describe, expect, test } from "bun:test";
import http2 from "node:http2";
import { connect, createServer, type Server } from "node:net";
import { listenTcp } from "../../src/platform/runtime/bun/tcp.ts";
import { listen, reservePort } from "../../src/server/ports.ts";

/** A listener of a relay's thread. */
const listenShared = (hostname: string, port: number) => {
  const ignore = () => {};
  const handlers = { open: ignore, data: ignore, drain: ignore, end: ignore, close: ignore };
  return listenTcp({ hostname, port, reusePort: true, handlers });
};

const codeOf = (reserve: () => unknown): unknown => {
  try {
    reserve();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
};

const hasIpv6 = codeOf(() => reservePort("::1", 0)[Symbol.dispose]()) === undefined;

describe.each(["127.0.0.1", "0.0.0.0", ...(hasIpv6 ? ["::", "::1"] : [])])("on %s", (address) => {
  test("a free port is reserved, shared by listeners of both kinds, and free again after them", async () => {
    using reservation = reservePort(address, 0);
    const { port } = reservation;
    expect(port).toBeGreaterThan(0);
    const plain = listenShared(address, port);
    const server = http2.createServer();
    try {
      await listen(server as Server, { bindAddress: address, port, reusePort: true });
    } finally {
      plain.stop(true);
      server.close();
    }
    reservation[Symbol.dispose]();
    using again = reservePort(address, port);
    expect(again.port).toBe(port);
  });

  test("EADDRINUSE while another relay shares the port among its threads", () => {
    const others = listenShared(address, 0);
    try {
      const { port } = others;
      expect(codeOf(() => reservePort(address, port))).toBe("EADDRINUSE");
      // The failed attempt leaves nothing behind.
      listenShared(address, port).stop(true);
    } finally {
      others.stop(true);
    }
  });

  test("EADDRINUSE while another relay reserves the port", () => {
    using reserved = reservePort(address, 0);
    const { port } = reserved;
    expect(codeOf(() => reservePort(address, port))).toBe("EADDRINUSE");
  });

  test("EADDRINUSE while a program uses the port alone", async () => {
    const server = createServer();
    try {
      await listen(server, { bindAddress: address, port: 0, reusePort: false });
      const { port } = server.address() as { readonly port: number };
      expect(codeOf(() => reservePort(address, port))).toBe("EADDRINUSE");
    } finally {
      server.close();
    }
  });
});

test.skipIf(!hasIpv6)(
  "EADDRINUSE on one address while another relay shares the port on all addresses",
  () => {
    const others = listenShared("::", 0);
    try {
      const { port } = others;
      for (const address of ["127.0.0.1", "0.0.0.0", "::1"])
        expect(codeOf(() => reservePort(address, port))).toBe("EADDRINUSE");
    } finally {
      others.stop(true);
    }
  },
);

test("an address that this machine does not have is EADDRNOTAVAIL", () => {
  expect(codeOf(() => reservePort("203.0.113.7", 0))).toBe("EADDRNOTAVAIL");
});

test("without reusePort, a port that is shared by another relay is EADDRINUSE", async () => {
  const others = listenShared("127.0.0.1", 0);
  const server = http2.createServer();
  try {
    const address = { bindAddress: "127.0.0.1", port: others.port, reusePort: false };
    await expect(listen(server as Server, address)).rejects.toMatchObject({ code: "EADDRINUSE" });
  } finally {
    others.stop(true);
  }
});

test("a client that connects too early is disconnected", async () => {
  using reservation = reservePort("127.0.0.1", 0);
  const socket = connect(reservation.port, "127.0.0.1");
  const closed = Promise.withResolvers<void>();
  socket.on("error", () => {});
  socket.once("close", () => closed.resolve());
  await closed.promise;
});
