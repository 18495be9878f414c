import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { maxSocketPathBytes, SYSTEMS, socketAddress } from "../../src/platform/libc.ts";
import { openUnix } from "../../src/telemetry/push/statsd-socket.ts";
import { failureOf } from "../support/common/failure.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";

function temporaryFolder() {
  const path = mkdtempSync(join(tmpdir(), "sfp-uds-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

describe("a Unix datagram socket", () => {
  test("receives each datagram whole and in order", async () => {
    using folder = temporaryFolder();
    using listener = new UnixDatagramListener(join(folder.path, "agent.sock"), { reads: false });
    using socket = openUnix(listener.path);
    const sent = ["a", "ä".repeat(4_000), "two\nlines"];
    for (const text of sent) await socket.send(Buffer.from(text));
    listener.read();
    expect(listener.datagrams).toEqual(sent);
  });

  test("may have the longest path that the system allows", async () => {
    using folder = temporaryFolder();
    const room = maxSocketPathBytes(process.platform) - folder.path.length - 1;
    using listener = new UnixDatagramListener(join(folder.path, "x".repeat(room)), { reads: false });
    using socket = openUnix(listener.path);
    await socket.send(Buffer.from("there"));
    listener.read();
    expect(listener.datagrams).toEqual(["there"]);
  });

  test("that is missing or that no process listens on is an error with its path", () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "agent.sock");
    expect(() => openUnix(path)).toThrow(`${path}: no such socket (ENOENT)`);
    new UnixDatagramListener(path).crash();
    expect(() => openUnix(path)).toThrow(`${path}: nothing is listening there (ECONNREFUSED)`);
    rmSync(path);
    writeFileSync(path, "a file");
    expect(() => openUnix(path)).toThrow(`${path}: nothing is listening there (ECONNREFUSED)`);
  });

  test("that is a stream socket is an error", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "agent.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(() => openUnix(path)).toThrow(`${path}: not a datagram socket (EPROTOTYPE)`);
    server.close();
  });

  test("reports that its receiver is gone", async () => {
    using folder = temporaryFolder();
    const listener = new UnixDatagramListener(join(folder.path, "agent.sock"));
    using socket = openUnix(listener.path);
    listener.crash();
    const sent = socket.send(Buffer.from("lost"));
    expect(String(await failureOf(sent))).toContain("nothing is listening there (ECONNREFUSED)");
  });

  test("never waits for a receiver that does not read", async () => {
    using folder = temporaryFolder();
    using listener = new UnixDatagramListener(join(folder.path, "agent.sock"), { reads: false });
    using socket = openUnix(listener.path);
    const fill = async () => {
      for (let i = 0; i < 5_000; i++) await socket.send(Buffer.alloc(8_000));
    };
    expect(String(await failureOf(fill()))).toContain("the receiver is too slow (EAGAIN)");
    listener.read();
    await socket.send(Buffer.from("room again"));
  });

  test("names the setting if a datagram is too large", async () => {
    using folder = temporaryFolder();
    using listener = new UnixDatagramListener(join(folder.path, "agent.sock"));
    using socket = openUnix(listener.path);
    const sent = socket.send(Buffer.alloc(8_000_000));
    expect(String(await failureOf(sent))).toContain("lower DOGSTATSD_MAX_BUFFER_SIZE (EMSGSIZE)");
  });

  test("leaves no descriptor open, even if connecting fails", () => {
    using folder = temporaryFolder();
    using listener = new UnixDatagramListener(join(folder.path, "agent.sock"));
    const openDescriptors = () => readdirSync("/dev/fd").length;
    const before = openDescriptors();
    for (let i = 0; i < 100; i++) {
      using socket = openUnix(listener.path);
      socket[Symbol.dispose]();
      expect(() => openUnix(`${listener.path}.not`)).toThrow("ENOENT");
    }
    expect(openDescriptors()).toBe(before);
  });
});

test("socketAddress has the layout of each system", () => {
  const { linux, darwin } = SYSTEMS;
  if (linux === undefined || darwin === undefined) throw new Error("a system is missing");
  const onLinux = Buffer.from(socketAddress("/a", linux));
  expect([onLinux.length, ...onLinux.subarray(0, 5)]).toEqual([110, 1, 0, 0x2f, 0x61, 0]);
  const onDarwin = Buffer.from(socketAddress("/a", darwin));
  expect([onDarwin.length, ...onDarwin.subarray(0, 5)]).toEqual([106, 106, 1, 0x2f, 0x61, 0]);
});
