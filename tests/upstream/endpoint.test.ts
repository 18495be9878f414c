import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import https from "node:https";
import { createServer } from "node:net";
import { UpstreamEndpoint } from "../../src/upstream/endpoint.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { Authority, type Pem, pemOf } from "../support/relay/pki.ts";

describeWith("openssl")("an upstream over TLS", () => {
  let authority: Authority;
  let certificate: Pem;
  beforeAll(() => {
    authority = new Authority();
    certificate = pemOf(authority.issue());
  });
  afterAll(() => authority[Symbol.dispose]());

  test("one failed handshake does not make an HTTP/1.1 upstream unreachable forever", async () => {
    const handshakeFailure = Buffer.from([21, 3, 3, 0, 2, 2, 40]);
    const port = await freePort();
    const broken = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end(handshakeFailure));
    }).listen(port, "127.0.0.1");
    await once(broken, "listening");
    const baseUrl = `https://127.0.0.1:${port}`;
    const endpoint = new UpstreamEndpoint({ baseUrl, relayVersion: "test", proxied: false });
    const get = () =>
      endpoint.send({ path: "/", headers: {} }, AbortSignal.timeout(5_000)).then(
        (response) => String(response.status),
        (error: NodeJS.ErrnoException) => String(error.code),
      );
    expect(await get()).not.toBe("200");
    broken.close();
    await once(broken, "close");
    const sound = https.createServer({ ...certificate, ALPNProtocols: ["http/1.1"] });
    sound.on("request", (_, response) => response.end()).listen(port, "127.0.0.1");
    await once(sound, "listening");
    // The certificate is not trusted. What matters is that the handshake offers HTTP/1.1 again.
    expect(await get()).not.toBe("HTTP2Unsupported");
    expect(await get()).not.toBe("HTTP2Unsupported");
    sound.close();
  });
});
