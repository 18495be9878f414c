import { expect } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import {
  chunks,
  NodeClient,
  type NodeRequest,
  type NodeResponse,
  type SentBody,
} from "../support/clients/node-client.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually, within } from "../support/common/wait.ts";
import { type Protocol, specPath, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

/** What every transport must do in the same way, tested with Node's clients or with hand-written bytes. */

interface Transport {
  readonly name: string;
  readonly port: Protocol;
  readonly protocol: "http1" | "h2";
  /** Only RPCs, over Connect; otherwise REST as well. */
  readonly isRpc: boolean;
}

const TRANSPORTS: readonly Transport[] = [
  { name: "HTTP/1.1", port: "http", protocol: "http1", isRpc: false },
  { name: "HTTPS with 1.1", port: "https", protocol: "http1", isRpc: false },
  { name: "HTTPS with h2", port: "https", protocol: "h2", isRpc: false },
  { name: "gRPC h2c", port: "grpc", protocol: "h2", isRpc: true },
  { name: "gRPC TLS", port: "grpcs", protocol: "h2", isRpc: true },
];

const BODY_TIMEOUT_MS = 2_000;
const PATIENCE = { withinMs: 15_000 };
const SLOWER_MS = 2_500;
const LIMITS = [
  "--http2-max-concurrent-streams",
  "20",
  "--body-timeout-in-s",
  "2",
  "--header-timeout-in-s",
  "2",
  "--shutdown-grace-in-s",
  "15",
];

const GET_CONFIG_SPEC = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";
const HEALTH = "/grpc.health.v1.Health/Check";
const CONNECT_JSON = { "content-type": "application/json" };
const CONNECT_PROTO = { "content-type": "application/proto" };

/** More than the sockets of both sides buffer, and incompressible. */
const LARGE = "secret-large";
const LARGE_BYTES = 20_000_000;

const large = () => {
  const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString("hex");
  const color = noise.repeat(Math.ceil(LARGE_BYTES / noise.length));
  return JSON.stringify(specV2({ lcut: 1_700_000_000_000, color }));
};

const POST_IDS: Pick<NodeRequest, "method" | "headers"> = {
  method: "POST",
  headers: { "statsig-api-key": "secret-held" },
};

/** The supported cells, by row and transport. */
const cells = new Map<string, Map<string, string>>();

function mark(row: string, transport: string, cell: string): void {
  const ofRow = cells.get(row) ?? new Map<string, string>();
  ofRow.set(transport, cell);
  cells.set(row, ofRow);
}

function table(): string {
  const width = Math.max(...[...cells.keys()].map(({ length }) => length));
  const head = `${" ".repeat(width)}  ${TRANSPORTS.map(({ name }) => name).join(" | ")}`;
  const rows = [...cells].map(([row, ofRow]) => {
    const marks = TRANSPORTS.map(({ name }) => (ofRow.get(name) ?? "FAILED").padEnd(name.length));
    return `${row.padEnd(width)}  ${marks.join(" | ")}`;
  });
  return [head, ...rows].join("\n");
}

afterAll(() => console.log(`\n${table()}\n`));

describe.each(TRANSPORTS)("$name", (transport) => {
  const { port, protocol, isRpc } = transport;
  let client: NodeClient;
  let started: TlsRelay;
  beforeAll(async () => {
    client = new NodeClient();
    started = await startTlsRelay(LIMITS);
    started.upstream.publish(LARGE, "v2", large(), 1_700_000_000_000);
  });
  afterAll(async () => {
    client[Symbol.dispose]();
    await started[Symbol.asyncDispose]();
  });

  const urlOf = (path: string, relay = started) => relay.relay.urlOf(port).replace("grpc", "http") + path;
  const ask = (path: string, request: Partial<NodeRequest> = {}, relay = started): Promise<NodeResponse> =>
    client.ask({ protocol, url: urlOf(path, relay), method: "GET", ...request }, 20_000);

  /** Requests the specs of a key in the transport's own way. */
  const askSpecs = (sdkKey: string, more: Partial<NodeRequest> = {}, relay = started) =>
    isRpc
      ? ask(
          GET_CONFIG_SPEC,
          {
            method: "POST",
            headers: CONNECT_JSON,
            body: chunks(JSON.stringify({ sdkKey, version: "v2" })),
            ...more,
          },
          relay,
        )
      : ask(specPath(sdkKey), more, relay);

  /** A request that accepts any body, or none. */
  const post = (body: SentBody) =>
    isRpc
      ? ask(HEALTH, { method: "POST", headers: CONNECT_PROTO, body })
      : ask("/v1/get_id_lists", { ...POST_IDS, body });

  const row = (name: string, run: () => Promise<void>, { appliesIf = true, not = "" } = {}) => {
    mark(name, transport.name, appliesIf ? "FAILED" : `- ${not}`);
    if (!appliesIf) return;
    test(name, async () => {
      await run();
      mark(name, transport.name, "ok");
    });
  };

  row("POST that ends with its headers", async () => {
    expect(await post("none")).toMatchObject({ status: 200, error: null });
  });

  row("POST with an empty body after its headers", async () => {
    expect(await post(chunks())).toMatchObject({ status: 200, error: null });
    expect(await post(chunks(100))).toMatchObject({ status: 200, error: null });
  });

  row("POST with {}", async () => {
    const response = isRpc
      ? ask(HEALTH, { method: "POST", headers: CONNECT_JSON, body: chunks("{}") })
      : ask("/v1/get_id_lists", { ...POST_IDS, body: chunks("{}") });
    expect(await response).toMatchObject({ status: 200, error: null });
  });

  row(
    "gRPC call without a message",
    async () => {
      for (const body of ["none", chunks()] as const) {
        const headers = { "content-type": "application/grpc", te: "trailers" };
        const response = await ask(GET_CONFIG_SPEC, { method: "POST", headers, body });
        const status = response.trailers["grpc-status"] ?? response.headers["grpc-status"];
        expect(Number(status)).toBeGreaterThan(0);
      }
    },
    { appliesIf: isRpc, not: "no gRPC" },
  );

  row("HEAD", async () => {
    const path = isRpc ? HEALTH : started.heldPath;
    const response = await ask(path, { method: "HEAD" });
    expect(response).toMatchObject({ bytes: 0, error: null });
    if (isRpc) expect([404, 405]).toContain(response.status);
    else expect([response.status, Number(response.headers["content-length"]) > 0]).toEqual([200, true]);
  });

  row(
    "304",
    async () => {
      const first = await ask(started.heldPath);
      const headers = { "if-none-match": first.headers["etag"] ?? "" };
      expect(await ask(started.heldPath, { headers })).toMatchObject({ status: 304, bytes: 0, error: null });
      expect(await ask(started.heldPath)).toMatchObject({ status: 200 });
    },
    { appliesIf: !isRpc, not: "no GET" },
  );

  row("first request for a key that takes longer than the body timeout", async () => {
    const { sdkKey } = publishKey(started.upstream, `secret-slow-${port}-${protocol}`);
    const isSlow = ({ path }: { readonly path: string }) => path.includes(sdkKey);
    started.upstream.misbehave({ kind: "none" }, { when: isSlow, delayMs: SLOWER_MS });
    expect(await askSpecs(sdkKey)).toMatchObject({ status: 200, error: null });
    expect(started.reached("body-timeout-in-s")).toBe(0);
  });

  row("download that takes longer than the body timeout", async () => {
    const response = await askSpecs(LARGE, { readDelayMs: SLOWER_MS });
    expect(response).toMatchObject({ status: 200, error: null });
    expect(response.bytes).toBeGreaterThan(LARGE_BYTES);
    expect(started.reached("body-timeout-in-s")).toBe(0);
  });

  row("half a body, then silence: ended by the timeout, others are served", async () => {
    const half: SentBody = { chunks: [Buffer.from('{"sdk').toString("base64")], isEndless: true };
    const path = isRpc ? GET_CONFIG_SPEC : "/v1/log_event";
    const headers = { ...CONNECT_JSON, "statsig-api-key": "secret-held" };
    const began = performance.now();
    const silent = ask(path, { method: "POST", headers, body: half });
    await sleep(BODY_TIMEOUT_MS / 4);
    expect(await askSpecs("secret-held")).toMatchObject({ status: 200 });
    const { status } = await silent;
    expect([0, 408]).toContain(status);
    expect(performance.now() - began).toBeGreaterThan(BODY_TIMEOUT_MS * 0.9);
    await eventually(() => expect(started.reached("body-timeout-in-s")).toBe(1), PATIENCE);
  });

  row("413 while the body is still being sent", async () => {
    const repeat = { byte: 0x61, bytes: 6 * 1024 * 1024 };
    const path = isRpc ? GET_CONFIG_SPEC : "/v1/log_event";
    const headers = { ...CONNECT_JSON, "statsig-api-key": "secret-held" };
    const lengths = [{}, { "content-length": String(repeat.bytes) }] as const;
    for (const length of lengths) {
      const body = { chunks: [], repeat, chunked: !("content-length" in length) };
      const response = await ask(path, { method: "POST", headers: { ...headers, ...length }, body });
      if (!isRpc)
        expect(response).toMatchObject({ status: 413, text: expect.stringContaining('"code":413') });
      // Connect maps it to 429.
      else
        expect(response).toMatchObject({ status: 429, text: expect.stringContaining("resource_exhausted") });
    }
    expect(await askSpecs("secret-held")).toMatchObject({ status: 200, error: null });
  });

  row("two requests at once on one connection, the first one slow", async () => {
    const { sdkKey } = publishKey(started.upstream, `secret-first-${port}-${protocol}`);
    const isSlow = ({ path }: { readonly path: string }) => path.includes(sdkKey);
    started.upstream.misbehave({ kind: "none" }, { when: isSlow, delayMs: 400 });
    if (protocol === "h2") {
      const both = await Promise.all([askSpecs(sdkKey), askSpecs("secret-held")]);
      for (const response of both) expect(response).toMatchObject({ status: 200, error: null });
      return;
    }
    using connection = await RawConnection.open(started.relay.urlOf(port));
    const host = "Host: localhost\r\n";
    connection.write(
      `GET ${specPath(sdkKey)} HTTP/1.1\r\n${host}\r\nGET ${started.heldPath} HTTP/1.1\r\n${host}\r\n`,
    );
    await eventually(() => expect(connection.statuses).toEqual([200, 200]), PATIENCE);
    // A slow request may also be one with a body.
    const events = JSON.stringify({ events: [{ eventName: "a", user: {}, time: 1 }], statsigMetadata: {} });
    connection.write(
      `POST /v1/log_event HTTP/1.1\r\n${host}statsig-api-key: secret-held\r\nContent-Length: ${events.length}\r\n\r\n${events}` +
        `GET /nowhere HTTP/1.1\r\n${host}\r\n`,
    );
    await eventually(() => expect(connection.statuses).toEqual([200, 200, 202, 404]), PATIENCE);
    expect(connection.isClosed).toBe(false);
  });

  row("body with trailers", async () => {
    const path = isRpc ? HEALTH : "/v1/get_id_lists";
    const headers = { ...CONNECT_JSON, "statsig-api-key": "secret-held", trailer: "x-checksum" };
    const body: SentBody = { ...chunks("{}"), trailers: { "x-checksum": "1" } };
    expect(await ask(path, { method: "POST", headers, body })).toMatchObject({ status: 200, error: null });
  });

  row("compressed Connect request", async () => {
    const headers = { ...CONNECT_JSON, "content-encoding": "gzip" };
    const body = chunks(gzipSync(JSON.stringify({ sdkKey: "secret-held", version: "v2" })));
    const response = await ask(GET_CONFIG_SPEC, { method: "POST", headers, body });
    expect(response).toMatchObject({ status: 200, error: null });
  });

  row("request with an unread body: gets a response, and the connection is kept", async () => {
    const body: SentBody = { chunks: [], repeat: { byte: 0x61, bytes: 300_000 } };
    // A stream that stays half open would use one of 20 slots.
    for (let time = 0; time < 40; time++) {
      expect(await ask("/nowhere", { method: "POST", body })).toMatchObject({ status: 404, error: null });
    }
    expect(await askSpecs("secret-held")).toMatchObject({ status: 200, error: null });
    expect(started.reached("http2-max-concurrent-streams")).toBe(0);
  });

  row("requests in flight at SIGTERM finish", async () => {
    await using own = await startTlsRelay([...LIMITS, "--idle-timeout-in-s", "240"]);
    const { sdkKey } = publishKey(own.upstream, "secret-in-flight");
    own.upstream.publish(LARGE, "v2", large(), 1_700_000_000_000);
    const isSlow = ({ path }: { readonly path: string }) => path.includes(sdkKey);
    own.upstream.misbehave({ kind: "none" }, { when: isSlow, delayMs: SLOWER_MS });
    expect(await askSpecs(LARGE, {}, own)).toMatchObject({ status: 200 });
    const first = askSpecs(sdkKey, {}, own);
    const begun = Promise.withResolvers<void>();
    const download = askSpecs(LARGE, { readDelayMs: SLOWER_MS / 2, onResponse: begun.resolve }, own);
    await eventually(() => expect(own.upstream.count(new RegExp(sdkKey))).toBe(1), PATIENCE);
    await within(begun.promise, PATIENCE.withinMs, "the headers of the download");
    own.relay.signal("SIGTERM");
    expect(await first).toMatchObject({ status: 200, error: null });
    const { status, bytes } = await download;
    expect([status, bytes > LARGE_BYTES]).toEqual([200, true]);
    expect(await within(own.relay.exited(), 10_000, "exit")).toBe(0);
  });
});
