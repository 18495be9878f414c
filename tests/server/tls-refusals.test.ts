import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { exitOf } from "../support/common/exit-of.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import type { Certified } from "../support/relay/pki.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { ClientCertificates, startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

/** Deno reports fewer kinds of failed handshakes. */
const testReasons = test.skipIf(isOnDeno);

const HANDSHAKE = "TLS handshake failed";
const OTHER_PROTOCOL = "client speaks another protocol than the port";

interface Line {
  readonly level: string;
  readonly message: string;
  readonly reason?: string;
  readonly client?: string;
  readonly port?: number;
  readonly certificate_names?: string;
}

describeWith("openssl")("a refused client is a line with a reason in words and its address", () => {
  let certificates: ClientCertificates;
  let upstream: Upstream;
  beforeAll(async () => {
    certificates = new ClientCertificates();
    upstream = await startUpstream();
  });
  afterAll(async () => {
    certificates[Symbol.dispose]();
    await upstream[Symbol.asyncDispose]();
  });

  const startRelay = () =>
    startRelayWithTls({
      upstream,
      server: certificates.authority.issue(),
      clientCaPath: certificates.authority.caPath,
      args: [
        ...["--enforce-tls", "false", "--enforce-mtls", "--client-cert-allowed-names", "svc-a.example"],
        ...["--log-format", "json", "--log-level", "info"],
      ],
    });

  const portOf = (relay: RelayProcess, protocol: string) => Number(new URL(relay.urlOf(protocol)).port);

  const linesOf = (relay: RelayProcess): readonly Line[] =>
    relay
      .output()
      .split("\n")
      .filter((line) => line.includes(HANDSHAKE) || line.includes(OTHER_PROTOCOL))
      .map((line) => JSON.parse(line) as Line);

  async function handshake(port: number, args: readonly string[]): Promise<void> {
    const trusted = args.includes("-CAfile") ? [] : ["-CAfile", certificates.authority.caPath];
    const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...trusted, ...args], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    await exitOf(child);
  }

  async function send(port: number, bytes: string): Promise<void> {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    socket.write(Buffer.from(bytes, "latin1"));
    await new Promise<void>((resolve) => void socket.on("close", () => resolve()));
  }

  const withCertificate = ({ certPath, keyPath }: Certified) => ["-cert", certPath, "-key", keyPath];

  async function expectLine(
    relay: RelayProcess,
    port: number,
    expected: Partial<Record<keyof Line, unknown>>,
  ) {
    await eventually(
      () =>
        expect(linesOf(relay)).toContainEqual(
          expect.objectContaining({ level: "warn", client: "127.0.0.1", port, ...expected }),
        ),
      { withinMs: 15_000 },
    );
  }

  testReasons("by its certificate", async () => {
    await using relay = await startRelay();
    const port = portOf(relay, "https");
    await handshake(port, []);
    await expectLine(relay, port, {
      reason: expect.stringMatching(/sent no certificate, which --enforce-mtls requires$/),
    });
    await handshake(port, withCertificate(certificates.wrongCa));
    await expectLine(relay, port, {
      reason: expect.stringMatching(/not from an authority in --x509-client-cert-path$/),
    });
    await handshake(port, withCertificate(certificates.expired));
    await expectLine(relay, port, { reason: "the certificate of the client has expired" });
    await handshake(port, withCertificate(certificates.otherName));
    await expectLine(relay, port, {
      reason: expect.stringMatching(/no name .* is in --client-cert-allowed-names$/),
      certificate_names: "svc-b, svc-b.example",
    });
    for (const { message } of linesOf(relay)) expect(message).toBe(HANDSHAKE);
    expect(linesOf(relay)).toHaveLength(4);
  });

  testReasons("by what it offers", async () => {
    await using relay = await startRelay();
    const good = withCertificate(certificates.good);
    const [https, grpcs] = [portOf(relay, "https"), portOf(relay, "grpcs")];
    await handshake(https, ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", ...good]);
    await expectLine(relay, https, {
      reason: "the client offers no version of TLS from 1.2 on (--tls-min-version)",
    });
    await handshake(https, ["-tls1_2", "-cipher", "AES128-SHA", ...good]);
    await expectLine(relay, https, { reason: expect.stringMatching(/have no cipher suite, .* in common$/) });
    await handshake(https, ["-alpn", "h3", ...good]);
    await expectLine(relay, https, {
      reason: expect.stringMatching(/by ALPN, which has h2 and http\/1\.1$/),
    });
    await handshake(grpcs, ["-alpn", "http/1.1", ...good]);
    await expectLine(relay, grpcs, { reason: expect.stringMatching(/by ALPN, which has h2$/) });
    await handshake(https, ["-CAfile", certificates.good.certPath, "-verify_return_error", ...good]);
    await expectLine(relay, https, {
      reason: expect.stringMatching(/^the client rejects the certificate of the relay/),
    });
  });

  testReasons("by the protocol that it speaks instead", async () => {
    await using relay = await startRelay();
    const [http, grpc, https, grpcs] = ["http", "grpc", "https", "grpcs"].map((each) =>
      portOf(relay, each),
    ) as [number, number, number, number];
    await send(https, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await expectLine(relay, https, {
      message: HANDSHAKE,
      reason: expect.stringMatching(/plaintext HTTP .* must use https$/),
    });
    await send(grpcs, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await expectLine(relay, grpcs, {
      message: HANDSHAKE,
      reason: expect.stringMatching(/^the client sent no TLS/),
    });
    await handshake(http, []);
    await expectLine(relay, http, {
      message: OTHER_PROTOCOL,
      reason: expect.stringMatching(/sent TLS .* must use http$/),
    });
    await handshake(grpc, []);
    await expectLine(relay, grpc, {
      message: OTHER_PROTOCOL,
      reason: expect.stringMatching(/sent TLS or HTTP\/1\.1/),
    });
    await send(http, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await expectLine(relay, http, {
      message: OTHER_PROTOCOL,
      reason: expect.stringMatching(/sent HTTP\/2, as gRPC does/),
    });
    await send(http, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n");
    await expectLine(relay, http, {
      message: OTHER_PROTOCOL,
      reason: expect.stringMatching(/PROXY protocol/),
    });
    for (const { reason = "" } of linesOf(relay)) expect(reason).not.toMatch(/error:|SSL|OPENSSL|_/);
  });

  test("and a flood of them is one line a minute for each reason", async () => {
    await using relay = await startRelay();
    const [https, http] = [portOf(relay, "https"), portOf(relay, "http")];
    for (let round = 0; round < 5; round++) {
      const clients = Array.from({ length: 40 }, () => send(https, "GET / HTTP/1.1\r\n\r\n"));
      await Promise.all([
        ...clients,
        ...clients.map(() => send(http, "\u0016\u0003\u0001\u0000\u0001\u0000")),
      ]);
    }
    await expectLine(relay, https, { message: HANDSHAKE });
    await expectLine(relay, http, { message: OTHER_PROTOCOL });
    // More than one a minute only if the flood takes longer than that.
    expect(linesOf(relay).length).toBeWithin(2, 5);
  });
});
