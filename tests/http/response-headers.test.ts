import { describe, expect, test } from "bun:test";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { describeWith } from "../support/common/needs.ts";
import { Authority } from "../support/relay/pki.ts";
import { startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const shared = shareRelay({ args: ["--proxy-id-lists", "--max-request-body-in-mb", "1"] });
const keyHeader = (sdkKey: string) => [["statsig-api-key", sdkKey]] as const;
const json = ["content-type", "application/json"] as const;
const rpc = (name: string) => `/statsig_forward_proxy.StatsigForwardProxy/${name}`;

const EXPECTED = {
  server: "statsig-forward-proxy",
  "x-content-type-options": "nosniff",
  "x-frame-options": "SAMEORIGIN",
  "permissions-policy": "interest-cohort=()",
} as const;

describe("every response on the HTTP port has the headers that scanners look for, and a Server header without a version", () => {
  const sdkKey = "secret-answer-headers";
  const specs = `/v2/download_config_specs/${sdkKey}.json`;
  const rows = [
    { what: "specs", status: 200, path: specs },
    { what: "specs, HEAD", status: 200, path: specs, method: "HEAD" },
    { what: "specs, no update", status: 200, path: `${specs}?sinceTime=9000000000000` },
    { what: "specs, not modified", status: 304, path: specs, headers: [["if-none-match", "*"]] },
    { what: "specs, no coding left", status: 406, path: specs, headers: [["accept-encoding", "*;q=0"]] },
    {
      what: "specs by POST",
      status: 200,
      path: "/v1/download_config_specs",
      headers: keyHeader(sdkKey),
      body: "{}",
    },
    { what: "specs of nobody", status: 401, path: "/v1/download_config_specs/secret-of-nobody.json" },
    { what: "specs of what is no key", status: 400, path: "/v1/download_config_specs/a%2Fb.json" },
    { what: "a manifest", status: 200, path: `/v1/get_id_lists/${sdkKey}.json` },
    { what: "a file that no manifest lists", status: 404, path: "/v1/download_id_list_file/none" },
    { what: "events", status: 202, path: "/v1/log_event", headers: keyHeader(sdkKey), body: '{"events":[]}' },
    {
      what: "events that are none",
      status: 400,
      path: "/v1/log_event",
      headers: keyHeader(sdkKey),
      body: "{",
    },
    { what: "health", status: 200, path: "/v1/health" },
    {
      what: "an RPC",
      status: 200,
      path: rpc("getConfigSpec"),
      headers: [json],
      body: `{"sdkKey":"${sdkKey}"}`,
    },
    {
      what: "a refused RPC",
      status: 403,
      path: rpc("getConfigSpec"),
      headers: [json],
      body: '{"sdkKey":"no"}',
    },
    { what: "a wrong method", status: 405, path: "/v1/health", method: "DELETE" },
    { what: "an unknown path", status: 404, path: "/none" },
  ] as const satisfies readonly object[];

  test.each(rows)("$what: $status", async (row) => {
    publishKey(shared.upstream, sdkKey);
    const method = "method" in row ? row.method : "body" in row ? "POST" : "GET";
    const headers = "headers" in row ? row.headers : [];
    const request = { method, headers, ...("body" in row && { body: row.body }) };
    const answer = await rawHttp(`${shared.relay.httpUrl}${row.path}`, request);
    expect(answer.status).toBe(row.status);
    expect(answer.headers).toMatchObject(EXPECTED);
    expect(answer.headers["x-powered-by"]).toBeUndefined();
    if (row.what.startsWith("specs") && row.status < 400)
      expect(answer.headers["cache-control"]).toBe("private, no-cache");
  });
});

describe("requests that no route handles", () => {
  const long = "x".repeat(20_000);
  test.each([
    ["no HTTP", "nonsense\r\n\r\n", 400, /not valid HTTP/],
    ["no Host", "GET /v1/health HTTP/1.1\r\n\r\n", 400, /Host/],
    ["two Hosts", "GET /v1/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, /Host/],
    ["a Host that is none", "GET /v1/health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, /Host/],
    ["a header that is too long", `GET /v1/health HTTP/1.1\r\nHost: a\r\nX: ${long}\r\n\r\n`, 431, undefined],
  ] as const)("%s", async (_, bytes, status, message) => {
    using connection = await RawConnection.open(shared.relay.httpUrl);
    connection.write(Buffer.from(bytes));
    const isWhole = () => /\r\n\r\n\{.*\}$/s.test(connection.text) || undefined;
    await connection.until("a whole response", isWhole);
    const received = connection.text;
    expect(received).toStartWith(`HTTP/1.1 ${status} `);
    for (const [name, value] of Object.entries(EXPECTED))
      expect(received).toContain(`\r\n${name}: ${value}\r\n`);
    if (message !== undefined) expect(received).toMatch(message);
  });
});

describeWith("openssl")("over TLS", () => {
  test("responses have the same headers", async () => {
    using authority = new Authority();
    await using relay = await startRelayWithTls({ server: authority.issue(), upstream: shared.upstream });
    const { sdkKey } = publishKey(shared.upstream, "secret-answer-headers-tls");
    for (const path of [`/v2/download_config_specs/${sdkKey}.json`, "/v1/health", "/none"]) {
      const url = `${relay.urlOf("https")}${path}`;
      const { headers } = await fetch(url, { tls: { rejectUnauthorized: false } });
      expect(Object.fromEntries(headers)).toMatchObject(EXPECTED);
    }
  });
});
