import { describe, expect, test } from "bun:test";
import { cors } from "@connectrpc/connect";
import { withCors } from "../../src/http/cors.ts";
import type { RawResponse } from "../support/clients/raw-get.ts";
import { type RawRequest, rawHttp } from "../support/clients/raw-http.ts";
import { type SharedRelay, shareRelay } from "../support/relay/shared-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const ALLOWED = "https://console.example:8443";
const STRANGER = "https://stranger.example";
const SDK_KEY = "secret-cors";
const SPECS = `/v2/download_config_specs/${SDK_KEY}.json`;
const RPC = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";
const ROUTES = [SPECS, "/v1/download_config_specs", "/v1/log_event", "/v1/get_id_lists", RPC];

/** The headers that clients send, including those of Connect as its own library lists them for servers. */
const SENT = [
  "last-event-id",
  ...["statsig-api-key", "statsig-sdk-type", "content-type", "content-encoding", "traceparent"],
  ...["x-grpc-web", "x-user-agent", "grpc-timeout"],
  ...cors.allowedHeaders.map((name) => name.toLowerCase()),
];

const EXPOSED = [
  ...["x-since-time", "x-sfp-source", "x-sfp-confirmed-at", "etag", "retry-after"],
  ...cors.exposedHeaders.map((name) => name.toLowerCase()),
];

const corsHeaders = ({ headers }: RawResponse) =>
  Object.keys(headers).filter((name) => name.startsWith("access-control-"));
const varies = ({ headers }: RawResponse) => String(headers["vary"] ?? "").split(", ");

/** A request as a page of this origin sends it. */
const fromOrigin = (origin: string, { headers = [], ...rest }: RawRequest = {}): RawRequest => ({
  ...rest,
  headers: [["origin", origin], ...headers],
});

const preflight = (origin: string): RawRequest =>
  fromOrigin(origin, {
    method: "OPTIONS",
    headers: [
      ["access-control-request-method", "POST"],
      ["access-control-request-headers", "content-type,statsig-api-key"],
    ],
  });

function asks({ relay, upstream }: SharedRelay) {
  publishKey(upstream, SDK_KEY);
  return (path: string, request: RawRequest) => rawHttp(`${relay.httpUrl}${path}`, request);
}

describe("without --cors-allowed-origins", () => {
  const shared = shareRelay();

  test("returns the handler itself", () => {
    const answer = () => new Response();
    expect(withCors(answer, [])).toBe(answer);
  });

  test("no response has CORS headers, and OPTIONS is 405", async () => {
    const ask = asks(shared);
    for (const path of ROUTES) {
      const answer = await ask(path, preflight(ALLOWED));
      expect(corsHeaders(answer)).toEqual([]);
      expect(answer.status).toBe(405);
    }
    const specs = await ask(SPECS, fromOrigin(ALLOWED));
    expect(specs.status).toBe(200);
    expect(corsHeaders(specs)).toEqual([]);
    expect(varies(specs)).not.toContain("origin");
  });
});

describe("with a list of origins", () => {
  const origins = `https://other.example, ${ALLOWED}`;
  const shared = shareRelay({ args: ["--cors-allowed-origins", origins, "--debug-logging"] });

  test.each(["GET", "HEAD"])("a page of an allowed origin may read specs by %s", async (method) => {
    const ask = asks(shared);
    const answer = await ask(SPECS, fromOrigin(ALLOWED, { method }));
    const plain = await ask(SPECS, { method });
    expect(answer.status).toBe(200);
    expect(answer.headers["access-control-allow-origin"]).toBe(ALLOWED);
    const exposed = String(answer.headers["access-control-expose-headers"]).split(", ");
    expect(exposed).toEqual(expect.arrayContaining(EXPOSED));
    expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
    expect(answer.body).toEqual(plain.body);
    expect(Number(answer.headers["content-length"])).toBeGreaterThan(0);
    expect(answer.headers["content-length"]).toBe(String(plain.headers["content-length"]));
  });

  test("every response has Vary: origin exactly once", async () => {
    const ask = asks(shared);
    for (const request of [{}, fromOrigin(ALLOWED), fromOrigin(STRANGER)]) {
      const answer = await ask(SPECS, request);
      const expected = ["accept-encoding", "statsig-api-key", "statsig-supports-proto", "origin"];
      expect(varies(answer)).toEqual(expected);
    }
  });

  test.each([STRANGER, "https://console.example", "null", `${ALLOWED}.stranger.example`])(
    "a page of %s gets a response without permission to read it",
    async (origin) => {
      const ask = asks(shared);
      const answer = await ask(SPECS, fromOrigin(origin));
      expect(answer.status).toBe(200);
      expect(corsHeaders(answer)).toEqual([]);
      const asked = await ask(SPECS, preflight(origin));
      expect(asked.status).toBe(204);
      expect(corsHeaders(asked)).toEqual([]);
      expect(varies(asked)).toContain("origin");
    },
  );

  test.each(ROUTES)("a preflight of %s gets a 204 with the headers that SDKs send", async (path) => {
    const ask = asks(shared);
    const { status, headers, body } = await ask(path, preflight(ALLOWED));
    expect(status).toBe(204);
    expect(body.byteLength).toBe(0);
    expect(headers["access-control-allow-origin"]).toBe(ALLOWED);
    expect(headers["access-control-allow-methods"]).toBe("GET, HEAD, POST");
    const allowed = String(headers["access-control-allow-headers"]).split(", ");
    expect(allowed).toEqual(expect.arrayContaining(SENT));
    expect(headers["x-content-type-options"]).toBe("nosniff");
  });

  test("an OPTIONS request that is no preflight is 405", async () => {
    const answer = await asks(shared)("/v1/log_event", { method: "OPTIONS" });
    expect(answer.status).toBe(405);
  });

  test("errors and other routes may be read as well", async () => {
    const ask = asks(shared);
    const key = [["statsig-api-key", SDK_KEY]] as const;
    const json = [["content-type", "application/json"]] as const;
    const answers = await Promise.all([
      ask("/v1/download_config_specs/secret-of-nobody.json", fromOrigin(ALLOWED)),
      ask("/v1/download_config_specs", fromOrigin(ALLOWED)),
      ask("/none", fromOrigin(ALLOWED)),
      ask("/v1/log_event", fromOrigin(ALLOWED, { method: "POST", headers: key, body: '{"events":[]}' })),
      ask("/v1/get_id_lists", fromOrigin(ALLOWED, { method: "POST", headers: key, body: "{}" })),
      ask(RPC, fromOrigin(ALLOWED, { method: "POST", headers: json, body: `{"sdkKey":"${SDK_KEY}"}` })),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([401, 400, 404, 202, 200, 200]);
    for (const { headers } of answers) expect(headers["access-control-allow-origin"]).toBe(ALLOWED);
  });
});

describe("with --cors-allowed-origins *", () => {
  const shared = shareRelay({ args: ["--cors-allowed-origins", "*"] });

  test("every page may read, and responses have no Vary: origin", async () => {
    const ask = asks(shared);
    for (const request of [fromOrigin(STRANGER), {}]) {
      const answer = await ask(SPECS, request);
      expect(answer.headers["access-control-allow-origin"]).toBe("*");
      expect(varies(answer)).not.toContain("origin");
    }
    const asked = await ask("/v1/log_event", preflight(STRANGER));
    expect(asked.status).toBe(204);
    expect(asked.headers["access-control-allow-origin"]).toBe("*");
  });
});
