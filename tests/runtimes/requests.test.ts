import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { root } from "../../scripts/command.ts";
import { findDeno, toDenoCommand } from "../../scripts/deno/deno-program.ts";
import type { RequestOutcome, RequestPlan } from "../support/runtimes/request-plan.ts";
import { FixedReplyServer } from "../support/upstream/fixed-reply-server.ts";
import { OutboundProxy } from "../support/upstream/outbound-proxy.ts";

/** What both runtimes must do with a request, each in a process of its own. */
const PROGRAM = join(root, "tests/support/runtimes/request-process.ts");
const deno = findDeno();
const RUNTIMES = [
  ["Bun", [process.execPath, PROGRAM]],
  ...(deno === undefined ? [] : [["Deno", toDenoCommand(deno, PROGRAM)]]),
] as [name: string, command: readonly string[]][];

/** Far more than a request of a test takes. */
const HANGS_AFTER_MS = 25_000;

/** More than one chunk, and less than the kernel buffers. */
const LARGE_BYTES = 200_000;

interface Seen {
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

/** Answers by the path, and keeps what it got. */
class Origin implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly #server = createServer((request, response) => this.#answer(request, response));
  /** Where `/elsewhere` leads. */
  other = "";

  static async start(): Promise<Origin> {
    const origin = new Origin();
    await new Promise<void>((resolve) => origin.#server.listen(0, "127.0.0.1", resolve));
    return origin;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer({ url = "", method = "", headers }: IncomingMessage, response: ServerResponse): void {
    this.seen.push({ path: url, method, headers });
    const [, kind = "", value = ""] = url.split("/");
    switch (kind) {
      case "redirect":
        response.writeHead(Number(value), { location: "../target?a=b" }).end("moved");
        return;
      case "redirects": {
        const left = Number(value);
        response.writeHead(302, { location: left > 1 ? `/redirects/${left - 1}` : "/target" }).end();
        return;
      }
      case "location":
        response.writeHead(302, { location: decodeURIComponent(value) }).end();
        return;
      case "elsewhere":
        response.writeHead(307, { location: this.other }).end();
        return;
      case "unlocated":
        response.writeHead(302).end("nowhere");
        return;
      case "status":
        response.writeHead(Number(value)).end();
        return;
      case "coded": {
        const code = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }[value];
        response.writeHead(200, { "content-encoding": value }).end(code?.("decoded"));
        return;
      }
      case "empty":
        response.writeHead(200, { "content-encoding": value, "content-length": "0" }).end();
        return;
      case "length":
        response.end("x".repeat(Number(value)));
        return;
      case "parts":
        response.write("first");
        setTimeout(() => response.end("second"), 100);
        return;
      case "half":
        // The rest never comes.
        response.writeHead(200, { "content-length": "20" }).write("half");
        return;
      default:
        response.end(`${method} ${url}`);
    }
  }
}

const running = new AsyncDisposableStack();
let origin: Origin;
let other: Origin;

beforeAll(async () => {
  origin = running.use(await Origin.start());
  other = running.use(await Origin.start());
  origin.other = `${other.url}/target`;
});
afterAll(() => running.disposeAsync());

describe.each(RUNTIMES)("a request sent by %s", (runtime, command) => {
  async function send(
    plan: RequestPlan,
    env: Readonly<Record<string, string>> = {},
  ): Promise<RequestOutcome> {
    const child = Bun.spawn([...command, JSON.stringify(plan)], {
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
      ...{ stdio: ["ignore", "pipe", "pipe"], timeout: HANGS_AFTER_MS },
    });
    const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect([await child.exited, errors]).toEqual([0, ""]);
    return JSON.parse(text) as RequestOutcome;
  }

  describe("redirects", () => {
    test.each([301, 302, 303, 307, 308])("%d is followed", async (status) => {
      const text = "GET /target?a=b";
      expect(await send({ url: `${origin.url}/redirect/${status}` })).toEqual({ status: 200, text });
    });

    test("are not followed with `manual`, or without a location", async () => {
      const manual = { url: `${origin.url}/redirect/302`, redirect: "manual" } as const;
      expect(await send(manual)).toEqual({ status: 302, text: "moved" });
      expect(await send({ url: `${origin.url}/unlocated` })).toEqual({ status: 302, text: "nowhere" });
    });

    test("keep the method HEAD", async () => {
      origin.seen.length = 0;
      await send({ url: `${origin.url}/redirect/302`, method: "HEAD" });
      expect(origin.seen.map(({ method }) => method)).toEqual(["HEAD", "HEAD"]);
    });

    test("are followed ten times, and not for ever", async () => {
      expect(await send({ url: `${origin.url}/redirects/10` })).toMatchObject({ status: 200 });
      const endless = await send({ url: `${origin.url}/redirects/1000` });
      expect(endless).toEqual({ failed: "request", code: "TooManyRedirects" });
    });

    test.each(["ftp://localhost/file", "http://[", "file:///etc/hostname"])(
      "to %s are an error with a code",
      async (location) => {
        const outcome = await send({ url: `${origin.url}/location/${encodeURIComponent(location)}` });
        expect(outcome).toMatchObject({ failed: "request", code: expect.stringMatching(/^\w+$/) });
      },
    );

    test("to another origin have no credentials, and to the same one they have", async () => {
      const headers = {
        ...{ authorization: "Bearer secret", cookie: "a=secret", "proxy-authorization": "Basic c2VjcmV0" },
        ...{ range: "bytes=5-", "statsig-id-list-file-size": "7" },
      };
      other.seen.length = 0;
      await send({ url: `${origin.url}/elsewhere`, headers });
      expect(other.seen).toHaveLength(1);
      expect(JSON.stringify(other.seen)).not.toMatch(/secret|c2VjcmV0/);
      expect(other.seen[0]?.headers).toMatchObject({
        host: new URL(other.url).host,
        ...{ range: "bytes=5-", "statsig-id-list-file-size": "7" },
      });
      origin.seen.length = 0;
      await send({ url: `${origin.url}/redirect/302`, headers });
      expect(origin.seen.map(({ headers: { authorization } }) => authorization)).toEqual([
        "Bearer secret",
        "Bearer secret",
      ]);
    });
  });

  describe("the body", () => {
    test.each(["gzip", "deflate", "br"])("is decompressed (%s)", async (coding) => {
      origin.seen.length = 0;
      const outcome = await send({ url: `${origin.url}/coded/${coding}` });
      expect(outcome).toEqual({ status: 200, text: "decoded" });
      expect(origin.seen[0]?.headers["accept-encoding"]).toContain(coding);
    });

    test("may be empty, whatever its coding", async () => {
      expect(await send({ url: `${origin.url}/empty/gzip` })).toEqual({ status: 200, text: "" });
    });

    test("stays as it is with `decompress: false`", async () => {
      const outcome = await send({ url: `${origin.url}/coded/gzip`, decompress: false });
      expect(outcome).toMatchObject({ status: 200, text: expect.not.stringContaining("decoded") });
    });

    test.each([
      ["does not come", "half", 0],
      ["does not come, and what came is read afterwards", "half", 600],
      ["came, and is read afterwards", `length/${LARGE_BYTES}`, 600],
      ["came in two parts, and is read afterwards", "parts", 600],
    ])("whose rest %s fails with the reason of the signal", async (_, path, readAfterMs) => {
      const url = `${origin.url}/${path}`;
      const outcome = await send({ url, abortAfterMs: 300, abortFrom: "headers", readAfterMs });
      expect(outcome).toEqual({ failed: "body", code: "the reason" });
    });

    test("that is read late is whole", async () => {
      const outcome = await send({ url: `${origin.url}/length/${LARGE_BYTES}`, readAfterMs: 300 });
      expect(outcome).toEqual({ status: 200, text: "x".repeat(LARGE_BYTES) });
    });

    test.each([204, 205, 304])("of a response with status %d is empty", async (status) => {
      expect(await send({ url: `${origin.url}/status/${status}` })).toEqual({ status, text: "" });
    });

    test("of a status that does not exist is an error with a code, or empty", async () => {
      await using server = await FixedReplyServer.start("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n");
      const outcome = await send({ url: `http://127.0.0.1:${server.port}/` });
      if (runtime === "Bun") expect(outcome).toEqual({ status: 999, text: "" });
      else expect(outcome).toEqual({ failed: "request", code: "Malformed_HTTP_Response" });
    });
  });

  describe("ends with the reason of the signal", () => {
    const aborted: RequestOutcome = { failed: "request", code: "the reason" };

    test("while a proxy does not answer CONNECT", async () => {
      await using proxy = await FixedReplyServer.start("");
      const env = { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` };
      expect(await send({ url: "https://upstream.invalid/", abortAfterMs: 300 }, env)).toEqual(aborted);
    });

    test("while the server does not answer in the TLS handshake, also behind a proxy", async () => {
      await using silent = await FixedReplyServer.start("");
      const url = `https://127.0.0.1:${silent.port}/`;
      expect(await send({ url, abortAfterMs: 300 })).toEqual(aborted);
      await using proxy = await OutboundProxy.start({ ports: { "upstream.invalid": silent.port } });
      const env = { HTTPS_PROXY: proxy.url };
      // Longer than it takes to ask the proxy.
      expect(await send({ url: "https://upstream.invalid/", abortAfterMs: 1_000 }, env)).toEqual(aborted);
      expect(proxy.seen).toEqual(["CONNECT upstream.invalid:443"]);
    });
  });

  test("that is answered with 101 fails with a code, or is a response", async () => {
    const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n";
    await using server = await FixedReplyServer.start(head);
    const outcome = await send({ url: `http://127.0.0.1:${server.port}/`, abortAfterMs: 5_000 });
    if (runtime === "Bun") expect(outcome).toMatchObject({ failed: expect.any(String) });
    else expect(outcome).toEqual({ failed: "request", code: "ConnectionClosed" });
  });
});
