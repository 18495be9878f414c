import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { textOf } from "../support/clients/raw-get.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT } from "../support/upstream/published-key.ts";

const KEY = "secret-of-a-large-project";
const MEBIBYTE = 1024 * 1024;

type Send = (response: ServerResponse, request: IncomingMessage) => void;

interface ScriptedUpstream extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
  send: Send;
  /** Number of requests received. */
  readonly requests: number;
}

/** Responds to each request for specs as the current `send` does. */
async function startScripted(send: Send): Promise<ScriptedUpstream> {
  const server = createServer((request, response) => {
    scripted.requests++;
    response.on("error", () => undefined);
    scripted.send(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const scripted = {
    env: { STATSIG_ENDPOINT: `http://127.0.0.1:${port}` },
    send,
    requests: 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return scripted;
}

const specOf = (lcut: number, bytes: number): Buffer =>
  Buffer.from(JSON.stringify(padTo(specV2({ lcut, sdkKey: KEY }), bytes)));

/** Sends the body with a Content-Length, or in chunks. */
const sending =
  (body: Uint8Array, framing: "length" | "chunks", headers: Readonly<Record<string, string>> = {}): Send =>
  (response) => {
    response.writeHead(200, {
      "content-type": "application/json",
      ...headers,
      ...(framing === "length" && { "content-length": String(body.length) }),
    });
    for (let at = 0; at < body.length; at += 100_000) response.write(body.subarray(at, at + 100_000));
    response.end();
  };

const small = specOf(FIRST_LCUT, 5_000);

const oneMebibyte = (env: Readonly<Record<string, string>>): Promise<RelayProcess> =>
  startRelayProcess({ env, args: ["--max-payload-in-mb", "1"] });

const refusal = 'detail="the payload is larger than the 1 MiB that --max-payload-in-mb allows"';

describe("a payload of --max-payload-in-mb", () => {
  test.each([
    ["identity", "length"],
    ["identity", "chunks"],
    ["gzip", "length"],
    ["gzip", "chunks"],
  ] as const)("is taken, and one byte more refused: %s, by %s", async (coding, framing) => {
    const coded = (json: Buffer) => {
      const body = coding === "gzip" ? gzipSync(json) : json;
      return sending(body, framing, { "content-encoding": coding });
    };
    await using upstream = await startScripted(sending(small, "length"));
    await using relay = await oneMebibyte(upstream.env);
    expect(textOf(await ask(relay, KEY))).toBe(small.toString());

    upstream.send = coded(specOf(FIRST_LCUT + 1, MEBIBYTE + 1));
    await eventually(() => expect(relay.output()).toContain(refusal));
    expect(textOf(await ask(relay, KEY))).toBe(small.toString());

    const largest = specOf(FIRST_LCUT + 2, MEBIBYTE);
    upstream.send = coded(largest);
    await eventually(async () => expect(textOf(await ask(relay, KEY))).toBe(largest.toString()));
  });
});

describe("a larger body", () => {
  test("is refused by its Content-Length before any of it arrives", async () => {
    await using upstream = await startScripted(sending(small, "length"));
    await using relay = await oneMebibyte(upstream.env);
    await ask(relay, KEY);
    const closed = Promise.withResolvers<void>();
    upstream.send = (response) => {
      response.on("close", () => closed.resolve());
      // No byte follows: a relay that reads the body would wait forever.
      response.writeHead(200, { "content-length": String(MEBIBYTE + 1) }).flushHeaders();
    };
    await eventually(() => expect(relay.output()).toContain(refusal));
    await closed.promise;
    expect(textOf(await ask(relay, KEY))).toBe(small.toString());
  });

  test.each(["identity", "gzip"])("is not read further if it never ends: %s, in chunks", async (coding) => {
    await using upstream = await startScripted(sending(small, "length"));
    await using relay = await oneMebibyte(upstream.env);
    await ask(relay, KEY);
    const noise = randomBytes(64 * 1024);
    const closed = Promise.withResolvers<number>();
    upstream.send = (response) => {
      let sent = 0;
      response.on("close", () => closed.resolve(sent));
      response.writeHead(200, { "content-type": "application/json", "content-encoding": coding });
      const send = (): void => {
        if (response.closed || response.destroyed) return;
        sent += noise.length;
        if (response.write(noise)) setImmediate(send);
        else response.once("drain", send);
      };
      send();
    };
    relay.resetPeakRss();
    const before = relay.rssBytes();
    // What is beyond the limit is in socket buffers.
    expect(await closed.promise).toBeLessThan(30 * MEBIBYTE);
    await eventually(() => expect(relay.output()).toContain(refusal));
    expect(relay.peakRssBytes() - before).toBeLessThan(60_000_000);
    expect(textOf(await ask(relay, KEY))).toBe(small.toString());
  });
});

describe("a large version", () => {
  const bytes = 20_000_000;
  const versions = [0, 1].map((number) => gzipSync(specOf(FIRST_LCUT + number, bytes), { level: 1 }));

  test("takes a few times its size at the peak, and updates leave no memory behind", async () => {
    let served = 0;
    await using upstream = await startScripted((response, request) => {
      const since = Number(new URL(request.url ?? "", "http://upstream").searchParams.get("sinceTime"));
      const lcut = FIRST_LCUT + served;
      if (since >= lcut) return void response.end('{"has_updates":false}');
      const headers = { "content-encoding": "gzip", "x-since-time": String(lcut) };
      sending(versions[served % 2] ?? small, "length", headers)(response, request);
    });
    // The history of versions is memory that is left behind on purpose.
    await using relay = await startRelayProcess({ env: upstream.env, args: ["--version-history", "0"] });
    await eventually(async () => expect((await fetch(`${relay.httpUrl}/v1/health`)).ok).toBe(true));
    const idle = relay.rssBytes();
    const peaks: number[] = [];
    // Deno's memory grows for six versions, and stays after that: measured over 14.
    const { settled, count } = isOnDeno ? { settled: 5, count: 10 } : { settled: 1, count: 6 };
    for (; served < count; served++) {
      relay.resetPeakRss();
      await eventually(
        async () => {
          const answer = await ask(relay, KEY, { "accept-encoding": "gzip" });
          expect(answer.headers["x-since-time"]).toBe(String(FIRST_LCUT + served));
        },
        { withinMs: 20_000, everyMs: 100 },
      );
      peaks.push(relay.peakRssBytes() - idle);
    }
    // Measured: 4 to 5 times, up to 9 on a busy machine, where garbage is collected later, and on Deno 11. This includes one and a half
    // for the Worker and its compiled code.
    expect(Math.max(...peaks)).toBeLessThan((isOnDeno ? 15 : 12) * bytes);
    // A single peak depends on when garbage is collected. What stays behind is in all of the last ones.
    const early = Math.max(...peaks.slice(0, settled + 1));
    expect(Math.min(...peaks.slice(-3))).toBeLessThan(early + 1.5 * bytes);
  }, 120_000);

  test("is kept as gzip and in upstream's coding, and clients get the best of these that they accept", async () => {
    const json = specOf(FIRST_LCUT, 9_000_000);
    const params = { [constants.BROTLI_PARAM_QUALITY]: 2 };
    await using upstream = await startScripted(
      sending(brotliCompressSync(json, { params }), "length", { "content-encoding": "br" }),
    );
    await using relay = await startRelayProcess({ env: upstream.env });
    for (const [accepted, expected] of [
      ["zstd, br, gzip", "br"],
      ["zstd, gzip", "gzip"],
      ["zstd", undefined],
      ["zstd;q=1, gzip;q=0.5, br;q=0.1", "gzip"],
    ] as const) {
      const answer = await ask(relay, KEY, { "accept-encoding": accepted });
      expect([accepted, answer.headers["content-encoding"]]).toEqual([accepted, expected as never]);
      expect(textOf(answer) === json.toString()).toBe(true);
    }
    const none = await ask(relay, KEY, { "accept-encoding": "zstd, identity;q=0" });
    expect(none.status).toBe(406);
  }, 30_000);
});
