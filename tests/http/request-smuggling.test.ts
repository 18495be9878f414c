import { expect } from "bun:test";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { testsWith } from "../support/common/needs.ts";
import { specPath, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

let started: TlsRelay;
beforeAll(async () => {
  started = await startTlsRelay();
});
afterAll(() => started[Symbol.asyncDispose]());

const CLOSED_WITHIN_MS = 8_000;
const HOST = "Host: localhost\r\n";
const POST = `POST /v1/log_event HTTP/1.1\r\n${HOST}statsig-api-key: secret-events\r\n`;
const CHUNKED = "Transfer-Encoding: chunked\r\n";
/** The request that an attacker tries to smuggle. */
const SMUGGLED = `GET /v1/health HTTP/1.1\r\n${HOST}\r\n`;

/** Requests whose end two servers in a row may see differently. What follows is {@link SMUGGLED}. */
const AMBIGUOUS: Readonly<Record<string, string>> = {
  "Content-Length and Transfer-Encoding": `${POST}Content-Length: 5\r\n${CHUNKED}\r\n0\r\n\r\n`,
  "Transfer-Encoding and Content-Length": `${POST}${CHUNKED}Content-Length: 5\r\n\r\n0\r\n\r\n`,
  "two Content-Lengths that differ": `${POST}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`,
  "a list of Content-Lengths": `${POST}Content-Length: 5, 5\r\n\r\nhello`,
  "a Content-Length with a plus": `${POST}Content-Length: +5\r\n\r\nhello`,
  "a Content-Length below zero": `${POST}Content-Length: -5\r\n\r\nhello`,
  "a hexadecimal Content-Length": `${POST}Content-Length: 0x5\r\n\r\nhello`,
  "a Content-Length with letters": `${POST}Content-Length: 5a\r\n\r\nhello`,
  "a Content-Length past any number": `${POST}Content-Length: 18446744073709551621\r\n\r\nhello`,
  "an empty Content-Length": `${POST}Content-Length:\r\n\r\n`,
  "a header over two lines": `${POST}Content-Length: 0\r\nX-Long: a\r\n b\r\n\r\n`,
  "Transfer-Encoding over two lines": `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
  "lines that end in LF alone": `POST /v1/log_event HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n`,
  "a header that ends in LF alone": `${POST}X-Bare: a\nContent-Length: 5\r\n\r\nhello`,
  "a CR within a header": `${POST}X-Bare: a\rContent-Length: 5\r\n\r\nhello`,
  "a space before the colon": `${POST}Content-Length : 5\r\n\r\nhello`,
  "a space before the colon of Transfer-Encoding": `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  "Transfer-Encoding: xchunked": `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
  "Transfer-Encoding: identity": `${POST}Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello`,
  "Transfer-Encoding: chunked, identity": `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  "Transfer-Encoding twice": `${POST}${CHUNKED}${CHUNKED}\r\n0\r\n\r\n`,
  "a chunk size that ends in LF alone": `${POST}${CHUNKED}\r\n5\nhello\r\n0\r\n\r\n`,
  "a chunk that is longer than it says": `${POST}${CHUNKED}\r\n3\r\nhello\r\n0\r\n\r\n`,
  "a chunk size with 0x": `${POST}${CHUNKED}\r\n0x5\r\nhello\r\n0\r\n\r\n`,
  "a chunk size past any number": `${POST}${CHUNKED}\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n`,
  "a chunk size below zero": `${POST}${CHUNKED}\r\n-1\r\nhello\r\n0\r\n\r\n`,
  "no Host": "GET /v1/health HTTP/1.1\r\n\r\n",
  "a path in Host": "GET /v1/health HTTP/1.1\r\nHost: localhost/v1/ready?\r\n\r\n",
  "a user in Host": "GET /v1/health HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
  "a NUL in a header": `GET /v1/health HTTP/1.1\r\n${HOST}X-Nul: a\0b\r\n\r\n`,
  "a NUL in a header's name": `GET /v1/health HTTP/1.1\r\n${HOST}X\0Nul: a\r\n\r\n`,
  "a header without a name": `GET /v1/health HTTP/1.1\r\n${HOST}: a\r\n\r\n`,
  "a header without a colon": `GET /v1/health HTTP/1.1\r\n${HOST}Lonely\r\n\r\n`,
  "a space before the first header": `GET /v1/health HTTP/1.1\r\n X: a\r\n${HOST}\r\n`,
  "HTTP/1.2": `GET /v1/health HTTP/1.2\r\n${HOST}\r\n`,
  "HTTP/0.9": "GET /v1/health\r\n\r\n",
  "Transfer-Encoding in HTTP/1.0": `POST /v1/log_event HTTP/1.0\r\n${HOST}${CHUNKED}\r\n0\r\n\r\n`,
};

const LENGTH = `Content-Length: ${SMUGGLED.length}\r\n`;

/** One request for every server, although it contains another. */
const WITH_A_REQUEST_INSIDE: Readonly<Record<string, (path: string) => string>> = {
  "a GET with a body": (path) => `GET ${path} HTTP/1.1\r\n${HOST}${LENGTH}\r\n${SMUGGLED}`,
  "a GET with a chunked body": (path) =>
    `GET ${path} HTTP/1.1\r\n${HOST}${CHUNKED}\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
  "a POST to nowhere": () => `POST /nowhere HTTP/1.1\r\n${HOST}${LENGTH}\r\n${SMUGGLED}`,
  "a POST of something that is no event": () => `${POST}${LENGTH}\r\n${SMUGGLED}`,
  "a POST with two Content-Lengths that agree": () => `${POST}${LENGTH}${LENGTH}\r\n${SMUGGLED}`,
};

describe.each(["http", "https"] as const)("on the %s port", (protocol) => {
  const open = () => RawConnection.open(started.relay.urlOf(protocol));

  test.concurrent.each(Object.entries(AMBIGUOUS))(
    "%s is rejected, and nothing after it is read",
    async (_, request) => {
      using connection = await open();
      connection.write(request + SMUGGLED);
      await connection.closed(CLOSED_WITHIN_MS);
      for (const status of connection.statuses) expect([400, 501, 505]).toContain(status);
    },
  );

  test("two Host headers are rejected", async () => {
    using connection = await open();
    connection.write(`GET /v1/health HTTP/1.1\r\n${HOST}Host: elsewhere\r\nConnection: close\r\n\r\n`);
    await connection.closed(CLOSED_WITHIN_MS);
    expect(connection.statuses).toEqual([400]);
  });

  test.each(Object.entries(WITH_A_REQUEST_INSIDE))("%s is one request, not two", async (_, request) => {
    using connection = await open();
    // A marker that must come second: not the health of the request inside.
    const last = `GET ${specPath("no-key")} HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
    connection.write(request(started.heldPath) + last);
    await connection.closed(CLOSED_WITHIN_MS);
    const { statuses } = connection;
    // A server may also close the connection instead of reading a body that it does not need.
    expect(statuses.length).toBeLessThanOrEqual(2);
    if (statuses.length === 2) expect(statuses[1]).toBeGreaterThanOrEqual(400);
  });

  const publishMany = (name: string) =>
    ["1", "2", "3", "4", "5"].map((each, number) =>
      publishKey(started.upstream, `secret-${protocol}-${name}-${each}`, number),
    );
  const requestsFor = (keys: readonly PublishedKey[]) =>
    keys
      .map(({ sdkKey }, at) => (at === keys.length - 1 ? [sdkKey, "Connection: close\r\n"] : [sdkKey, ""]))
      .map(([sdkKey = "", more]) => `GET ${specPath(sdkKey)} HTTP/1.1\r\n${HOST}${more}\r\n`)
      .join("");

  test("valid requests that are sent at once are answered in order", async () => {
    const keys = publishMany("held");
    for (const { sdkKey } of keys) expect(await started.statusOf(protocol, specPath(sdkKey))).toBe(200);
    using connection = await open();
    connection.write(requestsFor(keys));
    await connection.closed(CLOSED_WITHIN_MS);
    expect(connection.statuses).toEqual(keys.map(() => 200));
    const bodies = keys.map(({ v2 }) => connection.text.indexOf(v2));
    expect(bodies).not.toContain(-1);
    expect(bodies).toEqual(bodies.toSorted((a, b) => a - b));
  });

  test("no response overtakes that of a slow pipelined request", async () => {
    const keys = publishMany("new");
    const [slow, ...held] = keys;
    for (const { sdkKey } of held) await started.statusOf(protocol, specPath(sdkKey));
    const isSlow = ({ path }: { readonly path: string }) => path.includes(slow?.sdkKey ?? "");
    started.upstream.misbehave({ kind: "none" }, { when: isSlow, delayMs: 300 });
    using connection = await open();
    connection.write(requestsFor(keys));
    await connection.closed(CLOSED_WITHIN_MS);
    // The HTTP port may also close the connection without a response; the client then retries.
    const bodies = keys.map(({ v2 }) => connection.text.indexOf(v2)).filter((at) => at >= 0);
    expect([0, keys.length]).toContain(bodies.length);
    expect(bodies).toEqual(bodies.toSorted((a, b) => a - b));
  });
});
