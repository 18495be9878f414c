import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import https from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { UpstreamEndpoint } from "../src/upstream/endpoint.ts";
import { ConnectTimeout, TimeLimit, TotalTimeout } from "../src/upstream/time-limit.ts";
import { FakeClock, settle } from "./support/fake-clock.ts";
import { freePort } from "./support/free-port.ts";
import { describeWith } from "./support/needs.ts";
import { Authority, type Pem, pemOf } from "./support/pki.ts";

describeWith("openssl")("an upstream over TLS", () => {
  let authority: Authority;
  let certificate: Pem;
  beforeAll(() => {
    authority = new Authority();
    certificate = pemOf(authority.issue());
  });
  afterAll(() => authority[Symbol.dispose]());

  test("a handshake that failed once does not keep an HTTP/1.1 upstream away for ever", async () => {
    const handshakeFailure = Buffer.from([21, 3, 3, 0, 2, 2, 40]);
    const broken = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end(handshakeFailure));
    }).listen(0, "127.0.0.1");
    await once(broken, "listening");
    const { port } = broken.address() as AddressInfo;
    const baseUrl = `https://127.0.0.1:${port}`;
    const endpoint = new UpstreamEndpoint({ baseUrl, relayVersion: "test", proxied: false });
    const get = () =>
      endpoint.get({ path: "/", headers: {} }, AbortSignal.timeout(5_000)).then(
        (response) => String(response.status),
        (error: NodeJS.ErrnoException) => String(error.code),
      );
    expect(await get()).not.toBe("200");
    broken.close();
    await once(broken, "close");
    const sound = https.createServer({ ...certificate, ALPNProtocols: ["http/1.1"] });
    sound.on("request", (_, response) => response.end()).listen(port, "127.0.0.1");
    await once(sound, "listening");
    // Its certificate is nobody's: what matters is that the handshake speaks HTTP/1.1 again.
    expect(await get()).not.toBe("HTTP2Unsupported");
    expect(await get()).not.toBe("HTTP2Unsupported");
    sound.close();
  });
});

test("an answer that is not whole after 30 s is given up", async () => {
  const clock = new FakeClock();
  using limit = new TimeLimit(clock, undefined, new AbortController().signal);
  await clock.advance(29_999);
  expect(limit.signal.aborted).toBe(false);
  await clock.advance(1);
  expect(limit.signal.reason).toBeInstanceOf(TotalTimeout);
});

test("an upstream that takes no connection is given up after 10 s", async () => {
  const clock = new FakeClock();
  const address = { host: "127.0.0.1", port: await freePort() };
  using limit = new TimeLimit(clock, address, new AbortController().signal);
  await clock.advance(9_999);
  expect(limit.signal.aborted).toBe(false);
  await clock.advance(1);
  expect(limit.signal.reason).toBeInstanceOf(ConnectTimeout);
});

test("an upstream that connects, and is slow to answer, has the whole 30 s", async () => {
  const listening = createServer().listen(0, "127.0.0.1");
  await once(listening, "listening");
  const clock = new FakeClock();
  const { port } = listening.address() as AddressInfo;
  using limit = new TimeLimit(clock, { host: "127.0.0.1", port }, new AbortController().signal);
  const connected = once(listening, "connection");
  await clock.advance(5_000);
  await connected;
  await settle();
  await clock.advance(24_000);
  expect(limit.signal.aborted).toBe(false);
  listening.close();
});

test("when it is over, nobody waits any more", async () => {
  const clock = new FakeClock();
  new TimeLimit(clock, { host: "127.0.0.1", port: 9 }, new AbortController().signal)[Symbol.dispose]();
  await settle();
  expect(clock.sleeping).toBe(0);
});
