import { expect, test } from "bun:test";
import { copyFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { DEFAULT_REDIS_OPTIONS } from "../../src/redis/options.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { createRedisCertificates } from "../support/redis/redis-certificates.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { RedisWriter } from "../support/redis/redis-writer.ts";

/** Connections with this name, as CLIENT LIST describes them. */
async function connections(server: RedisServer, name: string): Promise<string[]> {
  const list = await server.cli("CLIENT", "LIST");
  return list.split("\n").filter((line) => line.includes(` name=${name} `));
}

const bulkConnections = async (server: RedisServer) =>
  (await connections(server, "statsig-forward-proxy-bulk")).length;
const commandConnections = async (server: RedisServer) =>
  (await connections(server, "statsig-forward-proxy")).length;

describeWith("redis-server", "redis-cli")("The pool for large values", () => {
  test("opens the minimum of connections at the start, and more only when all are busy", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse({ ...server.options, pool: { min: 2, max: 4 } });
    await eventually(async () => expect(await bulkConnections(server)).toBe(2));
    for (let i = 0; i < 10; i++) await use.connection.bulk.send("PING", []);
    expect(await bulkConnections(server)).toBe(2);
    await Promise.all(Array.from({ length: 50 }, () => use.connection.bulk.send("PING", [])));
    await eventually(async () => expect(await bulkConnections(server)).toBe(4));
    await Promise.all(Array.from({ length: 50 }, () => use.connection.bulk.send("PING", [])));
    expect(await bulkConnections(server)).toBe(4);
  });

  test("with a minimum of 0 has one connection, which carries any number of commands", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse({ ...server.options, pool: { min: 0, max: 1 } });
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, (_, i) => use.connection.bulk.send("ECHO", [`${i}`])),
    );
    expect(answers).toEqual(Array.from({ length: 1_000 }, (_, i) => `${i}`));
    expect(await bulkConnections(server)).toBe(1);
    await eventually(async () => expect(await commandConnections(server)).toBe(1));
  });

  test("continues with the other connections when one is cut, without an outage", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse({ ...server.options, pool: { min: 3, max: 3 } });
    await eventually(async () => expect(await bulkConnections(server)).toBe(3));
    for (let i = 0; i < 5; i++) {
      const [line = ""] = await connections(server, "statsig-forward-proxy-bulk");
      await server.cli("CLIENT", "KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "");
      // Commands that are sent before the end is noticed fail with the connection.
      await eventually(async () => expect(await use.connection.bulk.send("PING", [])).toBe("PONG"));
      await eventually(async () => expect(await bulkConnections(server)).toBe(3));
    }
    expect(use.events).toEqual([]);
  });

  test("has no connections once it is closed", async () => {
    await using server = await RedisServer.start();
    const use = new RedisUse({ ...server.options, pool: { min: 3, max: 3 } });
    await use.connection.bulk.send("PING", []);
    await use[Symbol.asyncDispose]();
    await eventually(async () => expect(await bulkConnections(server)).toBe(0));
    await eventually(async () => expect(await commandConnections(server)).toBe(0));
    await expect(use.connection.bulk.send("PING", [])).rejects.toThrow("the relay is shutting down");
    await expect(use.connection.send("PING", [])).rejects.toThrow("the relay is shutting down");
    expect(use.events).toEqual([]);
  });
});

describeWith(
  "redis-server",
  "redis-cli",
  "openssl",
)("TLS", () => {
  test("with an authority that did not sign is rejected until its file is fixed", async () => {
    using theirs = createRedisCertificates();
    using others = createRedisCertificates();
    await using server = await RedisServer.start({ tls: theirs });
    const { caPath = "" } = others.client;
    await using relay = new RedisWriter({ ...server.options, tls: { ...theirs.client, caPath } });
    expect(await relay.write()).toStartWith("no connection: ");
    expect(relay.outages).toEqual(["redis_down"]);
    copyFileSync(theirs.client.caPath ?? "", caPath);
    await relay.writesAgain();
  });

  test("keeps the last certificates when the files are deleted", async () => {
    using tls = createRedisCertificates();
    await using server = await RedisServer.start({ tls });
    await using relay = new RedisWriter(server.options);
    await relay.writesAgain();
    rmSync(tls.client.keyPath ?? "");
    await server.kill();
    await relay.untilEmitted("redis_down");
    await server.restart();
    await relay.writesAgain();
  });

  test("without the certificate that the server requires is rejected", async () => {
    using tls = createRedisCertificates();
    await using server = await RedisServer.start({ tls });
    const { caPath = "" } = tls.client;
    await using relay = new RedisWriter({ ...server.options, tls: { caPath } });
    await relay.untilEmitted("redis_down");
    expect(relay.kinds("redis_wrote", "redis_up")).toEqual([]);
  });

  test("is asked for if the server requires it", async () => {
    using tls = createRedisCertificates();
    await using server = await RedisServer.start({ tls });
    const { tls: _, ...plain } = server.options;
    await using relay = new RedisWriter(plain);
    await relay.untilEmitted("redis_down");
    expect(relay.kinds("redis_wrote", "redis_up")).toEqual([]);
  });
});

test("a closed connection does not reconnect, even if one link came up while another one was retrying", async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    // The first link is for small commands, and becomes ready after the others were closed.
    if (sockets.length > 1) return socket.destroy();
    socket.on("data", (data) => {
      const text = String(data).toLowerCase();
      const answer = text.includes("eval") ? "+up\r\n" : "+OK\r\n";
      setTimeout(() => socket.write(answer.repeat(text.match(/\*\d+\r\n/g)?.length ?? 0)), 20);
    });
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const use = new RedisUse({
    ...DEFAULT_REDIS_OPTIONS,
    address: { kind: "single", host: "127.0.0.1", port, db: 0 },
  });
  await eventually(() => expect(use.connection.isUp).toBeTrue(), { everyMs: 1 });
  const before = sockets.length;
  await eventually(() => expect(sockets.length).toBeGreaterThan(before), { everyMs: 1 });
  await use[Symbol.asyncDispose]();
  // The server accepts a connection later that was opened before the end.
  await Bun.sleep(200);
  const atTheEnd = sockets.length;
  // Longer than it waits between two connects.
  await Bun.sleep(1_300);
  expect(sockets.length).toBe(atTheEnd);
  server.close();
});
