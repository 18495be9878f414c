import { expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../support/common/wait.ts";
import { ThrottlingProxy } from "../support/redis/throttling-proxy.ts";

const BODY = Buffer.alloc(100_000, "x");

interface Linked extends AsyncDisposable {
  readonly proxy: ThrottlingProxy;
  ask(): Promise<number>;
}

async function startLinked(): Promise<Linked> {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(BODY) });
  const proxy = await ThrottlingProxy.start(server.port ?? 0);
  return {
    proxy,
    ask: async () => (await (await fetch(`http://127.0.0.1:${proxy.port}/`)).arrayBuffer()).byteLength,
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await server.stop(true);
    },
  };
}

async function echo(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

test("a link forwards everything", async () => {
  await using linked = await startLinked();
  for (let i = 0; i < 5; i++) expect(await linked.ask()).toBe(BODY.byteLength);
});

test("a throttled link has the configured rate, and is fast again when healed", async () => {
  await using linked = await startLinked();
  linked.proxy.throttle({ bytesPerS: 100_000, latencyMs: 100 });
  const began = performance.now();
  expect(await linked.ask()).toBe(BODY.byteLength);
  expect(performance.now() - began).toBeGreaterThan(1_000);
  linked.proxy.throttle({ bytesPerS: 1_000, latencyMs: 0 });
  const late = linked.ask();
  await sleep(100);
  await linked.proxy.heal();
  expect(await late).toBe(BODY.byteLength);
});

test("latency delays pipelined data only once", async () => {
  await using server = await echo();
  await using proxy = await ThrottlingProxy.start(server.port);
  proxy.throttle({ bytesPerS: 1_000_000, latencyMs: 400 });
  const client = connect(proxy.port, "127.0.0.1").setNoDelay(true);
  let received = 0;
  client.on("data", (chunk: Buffer) => {
    received += chunk.byteLength;
  });
  const began = performance.now();
  for (let i = 0; i < 40; i++) {
    client.write("x");
    await sleep(5);
  }
  await eventually(() => expect(received).toBe(40));
  // If each waited for the one before, it would take 16 s.
  expect(performance.now() - began).toBeWithin(400, 10_000);
  client.destroy();
});

test("a cut link keeps connections and forwards nothing until it is healed", async () => {
  await using linked = await startLinked();
  await linked.ask();
  linked.proxy.cut();
  let answers = 0;
  const asked = [linked.ask(), linked.ask()].map((each) => each.finally(() => answers++));
  await sleep(300);
  expect(answers).toBe(0);
  await linked.proxy.heal();
  expect(await Promise.all(asked)).toEqual([BODY.byteLength, BODY.byteLength]);
});

test("a refusing link resets connections and accepts no new ones until it is healed", async () => {
  await using linked = await startLinked();
  linked.proxy.throttle({ bytesPerS: 1_000, latencyMs: 0 });
  const reset = linked.ask().then(
    () => "answered",
    () => "failed",
  );
  await sleep(100);
  await linked.proxy.refuse();
  expect(await reset).toBe("failed");
  await expect(linked.ask()).rejects.toThrow();
  await linked.proxy.heal();
  await eventually(async () => expect(await linked.ask()).toBe(BODY.byteLength));
});
