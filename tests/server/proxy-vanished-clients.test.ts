import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { credentials, status } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { FRAME } from "../support/clients/http2-frames.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { StreamHolder } from "../support/clients/stream-holder.ts";
import { describeWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { TcpValve } from "../support/common/tcp-valve.ts";
import { eventually } from "../support/common/wait.ts";
import { Authority } from "../support/relay/pki.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { tlsArgs } from "../support/relay/relay-with-tls.ts";
import { specPath } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const SLOTS = 4;
const SDK_KEY = "secret-of-those-who-vanish";
const LARGE_KEY = "secret-of-a-large-config";
const LARGE_BYTES = 16_000_000;
/** For a keep-alive time of one second and a timeout of four, with margin for a busy machine. */
const SOON = { withinMs: 20_000, everyMs: 100 };

describeWith("openssl", "curl")("clients that disappear without closing the connection", () => {
  const resources = new AsyncDisposableStack();
  let authority: Authority;
  let relay: RelayProcess;
  beforeAll(async () => {
    const upstream = resources.use(await startUpstream());
    publishKey(upstream, SDK_KEY);
    const large = padTo(specV2({ sdkKey: LARGE_KEY, lcut: 1_700_000_000_000, color: "red" }), LARGE_BYTES);
    upstream.publish(LARGE_KEY, "v2", JSON.stringify(large), 1_700_000_000_000);
    authority = resources.use(new Authority());
    relay = resources.use(
      await startRelayProcess({
        upstream,
        args: [
          ...tlsArgs(authority.issue()),
          ...["--enforce-tls", "false", "-g", String(SLOTS)],
          ...["--http2-keepalive-time-in-s", "1", "--http2-keepalive-timeout-in-s", "4"],
        ],
      }),
    );
  });
  afterAll(() => resources.disposeAsync());

  const caOf = (protocol: "grpc" | "grpcs") => (protocol === "grpcs" ? authority.caPath : undefined);
  const urlFor = (protocol: "grpc" | "grpcs") => relay.urlOf(protocol).replace("127.0.0.1", "localhost");

  /** Returns the outcome of a new stream. */
  const tryStream = async (): Promise<"open" | "full"> => {
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: SDK_KEY, version: 2 });
    const outcome = await stream.next().then(
      () => "open" as const,
      () => undefined,
    );
    if (outcome !== undefined) return outcome;
    expect((await stream.status()).code).toBe(status.RESOURCE_EXHAUSTED);
    return "full";
  };

  describe.each(["grpc", "grpcs"] as const)("on the %s port", (protocol) => {
    test("the slots of an unresponsive client are freed", async () => {
      await using holder = await StreamHolder.start({
        ...{ url: urlFor(protocol), caPath: caOf(protocol) },
        ...{ sdkKey: SDK_KEY, streams: SLOTS },
      });
      expect(await tryStream()).toBe("full");
      holder.hang();
      await eventually(async () => expect(await tryStream()).toBe("open"), SOON);
    }, 50_000);

    test("the slots of a client behind a broken link are freed", async () => {
      await using link = await TcpValve.start(Number(new URL(relay.urlOf(protocol)).port));
      await using _holder = await StreamHolder.start({
        url: link.url.replace("127.0.0.1", "localhost"),
        ...{ caPath: caOf(protocol), sdkKey: SDK_KEY, streams: SLOTS },
      });
      expect(await tryStream()).toBe("full");
      link.cut();
      await eventually(async () => expect(await tryStream()).toBe("open"), SOON);
    }, 50_000);

    test("a client that responds keeps its streams", async () => {
      const caPath = caOf(protocol);
      using client = new GrpcClient(
        urlFor(protocol),
        caPath === undefined ? credentials.createInsecure() : credentials.createSsl(readFileSync(caPath)),
      );
      using stream = client.streamConfigSpec({ sdkKey: SDK_KEY, version: 2 });
      await stream.next();
      let hasEnded = false;
      void stream.status(60_000).then(() => {
        hasEnded = true;
      });
      // One that does not respond was opened later, and is closed.
      using silent = await RawHttp2.open(relay.urlOf(protocol));
      silent.openSpecStream(1, SDK_KEY);
      await silent.connection.closed(20_000);
      expect(hasEnded).toBe(false);
    }, 40_000);
  });

  test.each(["https", "grpc", "grpcs"] as const)(
    "each HTTP/2 connection on the %s port gets PINGs",
    async (protocol) => {
      using client = await RawHttp2.open(relay.urlOf(protocol));
      client.openSpecStream(1, SDK_KEY);
      await client.received("PING", ({ type, flags }) => type === FRAME.ping && flags === 0);
      await client.connection.closed(20_000);
      await eventually(() => expect(relay.output()).toContain("client unresponsive"), SOON);
    },
    50_000,
  );

  test("a client that reads a large response slowly gets all of it", async () => {
    const child = Bun.spawn(
      [
        ...["curl", "-q", "-sS", "--noproxy", "*", "--http2", "--cacert", authority.caPath],
        ...["--limit-rate", "1500k", "-w", "%{http_version} %{size_download}", "-o", "/dev/null"],
        `${relay.urlOf("https")}${specPath(LARGE_KEY)}`,
      ],
      { stdio: ["ignore", "pipe", "inherit"], timeout: 60_000 },
    );
    const [version, size] = (await child.stdout.text()).split(" ");
    expect(await child.exited).toBe(0);
    expect(version).toBe("2");
    expect(Number(size)).toBeGreaterThanOrEqual(LARGE_BYTES);
  }, 70_000);

  test.each(["http", "https"])(
    "a client that stops reading a response over HTTP/1.1 is disconnected (%s)",
    async (protocol) => {
      await using link = await TcpValve.start(Number(new URL(relay.urlOf(protocol)).port));
      const before = relay.openConnections(protocol);
      using client = await RawConnection.open(link.url.replace("http:", `${protocol}:`));
      link.close();
      client.write(`GET ${specPath(LARGE_KEY)} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await eventually(() => expect(relay.openConnections(protocol)).toBeGreaterThan(before), SOON);
      await eventually(() => expect(relay.openConnections(protocol)).toBeLessThanOrEqual(before), {
        withinMs: 40_000,
      });
    },
    70_000,
  );
});
