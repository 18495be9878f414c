import { describe, expect, test } from "bun:test";
import { STATUS_CODES } from "node:http";
import { type RawRequest, rawHttp } from "../support/clients/raw-http.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { status } from "../support/upstream/upstream.ts";

const shared = shareRelay();
const ask = (path: string, request: RawRequest = {}) => rawHttp(`${shared.relay.httpUrl}${path}`, request);
const proto: RawRequest = { headers: [["accept-encoding", "statsig-br, gzip"]] };

describe("HTTP errors: an unknown or revoked key is 401, text/plain, Unauthorized", () => {
  test.each([401, 403])("if upstream responds with %d", async (upstreamStatus) => {
    const sdkKey = `secret-refused-${upstreamStatus}`;
    shared.upstream.misbehave(status(upstreamStatus), forKey(sdkKey));
    const byPath = [`/v1/download_config_specs/${sdkKey}.json`, `/v2/download_config_specs/${sdkKey}.json`];
    const requests = [
      ...byPath.map((path) => ask(path)),
      ask(`/v2/download_config_specs/${sdkKey}.json?supports_proto=true&sinceTime=1700000000000`, proto),
      ask("/v1/download_config_specs", { headers: [["statsig-api-key", sdkKey]] }),
      ask("/v1/download_config_specs", {
        method: "POST",
        headers: [["statsig-api-key", sdkKey]],
        body: '{"sinceTime":0}',
      }),
    ];
    for (const response of await Promise.all(requests)) {
      expect(response.status).toBe(401);
      expect(response.headers["content-type"]).toStartWith("text/plain");
      expect(response.headers["content-encoding"]).toBeUndefined();
      expect(response.body.toString()).toBe("Unauthorized");
    }
  });
});

const NO_KEY = /missing.*in the path or in the header statsig-api-key/;
const NOT_A_KEY = /malformed.*1 to 200/;

describe('HTTP errors: other errors are JSON {"code": <status>, "reason": "<reason phrase>"}, and a message if the status leaves open why', () => {
  const key: [string, string] = ["statsig-api-key", "secret-errors"];
  const json: [string, string] = ["content-type", "application/json"];
  const rows = [
    {
      what: "POST without a key",
      code: 400,
      path: "/v1/download_config_specs",
      method: "POST",
      body: "{}",
      why: NO_KEY,
    },
    {
      what: "POST without a key, v2",
      code: 400,
      path: "/v2/download_config_specs",
      method: "POST",
      body: "{}",
      why: NO_KEY,
    },
    { what: "GET without a key", code: 400, path: "/v1/download_config_specs", why: NO_KEY },
    { what: "GET with an empty key", code: 400, path: "/v2/download_config_specs/.json", why: NO_KEY },
    ...["a%2Fb", "..", "k".repeat(201), "a%zz", "a%20b"].map((text) => ({
      what: `the key ${text.slice(0, 20)}`,
      code: 400,
      path: `/v1/download_config_specs/${text}.json`,
      why: NOT_A_KEY,
    })),
    {
      what: "POST of no JSON",
      code: 400,
      path: "/v1/download_config_specs",
      method: "POST",
      body: "{",
      key,
      why: /not a JSON object/,
    },
    { what: "an unknown path", code: 404, path: "/v1/unknown" },
    { what: "an unknown version", code: 404, path: "/v3/download_config_specs/secret-a.json" },
    { what: "DELETE", code: 405, path: "/v1/download_config_specs/secret-a.json", method: "DELETE" },
    { what: "PUT", code: 405, path: "/v2/download_config_specs", method: "PUT", body: "{}" },
  ] as const satisfies readonly object[];

  test.each(rows)("$what: $code", async (row) => {
    const headers = "key" in row ? [row.key, json] : [json];
    const method = "method" in row ? row.method : "GET";
    const response = await ask(row.path, { method, headers, ...("body" in row && { body: row.body }) });
    expect(response.status).toBe(row.code);
    expect(response.headers["content-type"]).toStartWith("application/json");
    const body: unknown = JSON.parse(response.body.toString());
    const message = "why" in row && { message: expect.stringMatching(row.why) };
    expect(body).toEqual({ code: row.code, reason: STATUS_CODES[row.code], ...message });
    if (row.code === 405) expect(response.headers.allow).toMatch(/GET.*HEAD.*POST/);
  });

  test("nothing cached and upstream failing: 503 with Retry-After, never 401", async () => {
    const { sdkKey } = publishKey(shared.upstream, "secret-failing");
    shared.upstream.misbehave(status(500), forKey(sdkKey));
    const plain = await ask(`/v1/download_config_specs/${sdkKey}.json`);
    const asProto = await ask(`/v2/download_config_specs/${sdkKey}.json?supports_proto=true`, proto);
    for (const response of [plain, asProto]) {
      expect(response.status).toBe(503);
      expect(Number(response.headers["retry-after"])).toBeGreaterThan(0);
      const body: unknown = JSON.parse(response.body.toString());
      const message = expect.stringMatching(/No config spec .* cached.*none could be fetched/);
      expect(body).toEqual({ code: 503, reason: "Service Unavailable", message });
    }
  });
});
