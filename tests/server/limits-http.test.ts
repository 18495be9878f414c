import { expect } from "bun:test";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { specPath, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const HOST = "Host: localhost\r\n";
const CLOSE = "Connection: close\r\n";
const PATIENCE = { withinMs: 15_000 };

const LIMITS = [
  ["--max-header-size-in-kb", "4"],
  ["--max-header-count", "20"],
  ["--max-url-length", "400"],
  ["--max-request-body-in-mb", "1"],
  ["--body-timeout-in-s", "1"],
  ["--idle-timeout-in-s", "2"],
];

describe.each(["http", "https"] as const)("limits of a request on the %s port", (protocol) => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay(LIMITS.flat());
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const open = () => RawConnection.open(started.relay.urlOf(protocol));

  /** Returns the status of a request that is sent as written here. */
  const statusOf = async (request: string): Promise<number> => {
    using connection = await open();
    connection.write(request);
    return await connection.until("an response", () => connection.statuses[0]);
  };
  const get = (path: string, headers = "") =>
    statusOf(`GET ${path} HTTP/1.1\r\n${HOST}${CLOSE}${headers}\r\n`);
  const manyHeaders = (count: number) => Array.from({ length: count }, (_, at) => `X-${at}: a\r\n`).join("");

  test("headers that are too large: 431", async () => {
    expect(await get("/v1/health", `X: ${"a".repeat(2_000)}\r\n`)).toBe(200);
    for (let time = 0; time < 3; time++)
      expect(await get("/v1/health", `X: ${"a".repeat(6_000)}\r\n`)).toBe(431);
    expect(
      await get(
        "/v1/health",
        Array.from({ length: 6 }, (_, at) => `X-${at}: ${"a".repeat(1_000)}\r\n`).join(""),
      ),
    ).toBe(431);
  });

  test("too many headers: 431", async () => {
    expect(await get("/v1/health", manyHeaders(18))).toBe(200);
    for (let time = 0; time < 3; time++) expect(await get("/v1/health", manyHeaders(30))).toBe(431);
  });

  test("a URL that is too long: 414, on every route", async () => {
    const query = (characters: number) => `?a=${"b".repeat(characters)}`;
    expect(await get(`${started.heldPath}${query(200)}`)).toBe(200);
    for (const path of ["/v1/health", started.heldPath, "/nowhere"])
      expect(await get(path + query(500))).toBe(414);
  });

  test("a body that is too large: 413, before all of it has arrived", async () => {
    const head = `POST /v1/log_event HTTP/1.1\r\n${HOST}${CLOSE}statsig-api-key: secret-events\r\n`;
    for (let time = 0; time < 3; time++) {
      expect(await statusOf(`${head}Content-Length: ${3 * 1024 * 1024}\r\n\r\n{`)).toBe(413);
    }
  });

  test("a body without a length that becomes too large: 413, or cut off", async () => {
    using connection = await open();
    connection.write(
      `POST /v1/log_event HTTP/1.1\r\n${HOST}statsig-api-key: secret-events\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    // Below the limit of other routes, and all at once, so that it does not take as long as a body may.
    connection.write(`10000\r\n${"a".repeat(65_536)}\r\n`.repeat(32));
    await eventually(() => expect(connection.isClosed || connection.statuses[0] === 413).toBe(true), {
      withinMs: 25_000,
    });
    expect(connection.statuses.filter((status) => status !== 413)).toEqual([]);
  });

  test("a body that arrives too slowly: 408, or cut off, even with single bytes arriving", async () => {
    using connection = await open();
    const startedAt = performance.now();
    connection.write(
      `POST /v1/log_event HTTP/1.1\r\n${HOST}statsig-api-key: secret-events\r\nContent-Length: 1000\r\n\r\n{`,
    );
    await eventually(
      () => {
        connection.write(" ");
        expect(connection.isClosed || connection.statuses[0] === 408).toBe(true);
      },
      { ...PATIENCE, everyMs: 200 },
    );
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(connection.statuses.filter((status) => status !== 408)).toEqual([]);
  });

  test("a connection without a next request is closed", async () => {
    using connection = await open();
    const askedAt = performance.now();
    connection.write(`GET ${started.heldPath} HTTP/1.1\r\n${HOST}\r\n`);
    await connection.closed(15_000);
    expect(performance.now() - askedAt).toBeGreaterThan(1_900);
    expect(connection.statuses).toEqual([200]);
  });

  test.each([
    "max-header-size-in-kb",
    "max-header-count",
    "max-url-length",
    "max-request-body-in-mb",
    "body-timeout-in-s",
  ])("the log reports once that --%s was reached, and others are served", async (limit) => {
    await eventually(() => expect(started.reached(limit)).toBe(1), PATIENCE);
    expect(await started.statusOf(protocol)).toBe(200);
  });
});

/** Half a request, and its continuation. */
const SLOW = {
  "that never come": ["", ""],
  "that never end": [`GET /v1/health HTTP/1.1\r\n${HOST}`, ""],
  "that come byte by byte": [`GET /v1/health HTTP/1.1\r\n${HOST}X: `, "a"],
} as const;

describe.each(["http", "https"] as const)("headers on the %s port", (protocol) => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay(["--header-timeout-in-s", "1", "--idle-timeout-in-s", "2"]);
  });
  afterAll(() => started[Symbol.asyncDispose]());

  test.concurrent.each(Object.entries(SLOW))("%s: the connection is closed", async (_, [begin, more]) => {
    using connection = await RawConnection.open(started.relay.urlOf(protocol));
    connection.write(begin);
    await eventually(
      () => {
        connection.write(more);
        expect(connection.isClosed).toBe(true);
      },
      { ...PATIENCE, everyMs: 200 },
    );
    expect(connection.statuses.filter((status) => status !== 408)).toEqual([]);
    // A request may take longer than the header timeout on a machine that stands still.
    await eventually(async () => expect(await started.statusOf(protocol)).toBe(200));
  });

  test.skipIf(protocol === "http")("no TLS handshake: the connection is closed", async () => {
    using connection = await RawConnection.open(started.relay.urlOf(protocol).replace("https:", "http:"));
    await connection.closed(15_000);
    await eventually(() => expect(started.reached("header-timeout-in-s")).toBe(1), PATIENCE);
  });
});

const IN_FLIGHT = 3;

describe.each(["http", "https"] as const)("--max-concurrent-requests on the %s port", (protocol) => {
  test("cache misses above it get a 503 at once, cached feeds are served, and finished requests make space", async () => {
    await using started = await startTlsRelay(["--max-concurrent-requests", String(IN_FLIGHT)]);
    const names = ["a", "b", "c", "beyond"].map((name) => `secret-new-${name}`);
    for (const name of names) publishKey(started.upstream, name);
    const isNew = ({ path }: { readonly path: string }) => path.includes("secret-new");
    const gate = Promise.withResolvers<void>();
    started.upstream.misbehave({ kind: "none" }, { when: isNew, until: gate.promise });
    const first = names.slice(0, IN_FLIGHT).map((name) => started.statusOf(protocol, specPath(name)));
    await eventually(() => expect(started.upstream.count(/secret-new/)).toBe(IN_FLIGHT), PATIENCE);

    using connection = await RawConnection.open(started.relay.urlOf(protocol));
    connection.write(`GET ${specPath("secret-new-beyond")} HTTP/1.1\r\n${HOST}${CLOSE}\r\n`);
    expect(await connection.until("an response", () => connection.statuses[0])).toBe(503);
    expect(connection.text).toMatch(/\r\nRetry-After: \d+\r\n/i);
    expect(started.upstream.count(/secret-new-beyond/)).toBe(0);
    for (let time = 0; time < 5; time++) expect(await started.statusOf(protocol)).toBe(200);

    gate.resolve();
    expect(await Promise.all(first)).toEqual(Array(IN_FLIGHT).fill(200));
    expect(await started.statusOf(protocol, specPath("secret-new-beyond"))).toBe(200);
    await eventually(() => expect(started.reached("max-concurrent-requests")).toBe(1), PATIENCE);
  });
});
