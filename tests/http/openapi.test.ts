import { describe, expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Validator } from "@seriousme/openapi-schema-validator";
import { HttpHandler } from "../../src/http/handler.ts";
import managementDocument from "../../src/http/management/documents/openapi.json";
import clientDocument from "../../src/http/management/documents/openapi-clients.json";
import statusSchema from "../../src/http/management/documents/status.schema.json";
import { type OpenApi, operationsOf, ResponseChecker } from "../support/common/openapi.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { feedOf, reported } from "../support/telemetry/status-report.ts";
import { FIRST_LCUT, publishKey } from "../support/upstream/published-key.ts";
import { status as failing, startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-documented-0123456789";
const TOKEN = "token-for-operators-0123456789";

const DOCUMENTS = [
  ["management", managementDocument as OpenApi],
  ["clients", clientDocument as OpenApi],
] as const;

/** Paths of both kinds: Hono's `/:version{v[12]}/x/:key?` and `/x*`, and OpenAPI's `/{version}/x/{key}`. */
function toPaths(routePath: string): readonly string[] {
  const path = routePath.replace(/:(\w+)\{[^}]*\}/g, "{$1}").replace(/\/\*$/, "/{fileID}");
  const optional = /^(.*)\/:(\w+)\?$/.exec(path);
  const named = (text: string) => text.replace(/:(\w+)/g, "{$1}");
  if (optional === null) return [named(path)];
  return [named(optional[1] ?? ""), `${named(optional[1] ?? "")}/{${optional[2]}}`];
}

describe("the OpenAPI documents", () => {
  test.each(DOCUMENTS)(
    "for %s is valid OpenAPI 3.1, and every operation has a summary and one tag",
    async (_, document) => {
      const validator = new Validator();
      await validator.addSpecRef(structuredClone(statusSchema) as never, "./status.schema.json");
      const { valid, errors } = await validator.validate(structuredClone(document) as never);
      expect(errors ?? []).toEqual([]);
      expect(valid).toBe(true);
      const operations = operationsOf(document).map(({ operation }) => operation);
      const ids = operations.map(({ operationId }) => operationId);
      expect(new Set(ids).size).toBe(ids.length);
      for (const { summary, tags } of operations) {
        expect(summary).toBeString();
        expect(tags).toHaveLength(1);
      }
    },
  );

  test("for clients has every route of the HTTP ports", () => {
    const anything: unknown = new Proxy(() => {}, { get: () => anything, apply: () => anything });
    const options = { idListSettings: { files: "proxied" }, intake: { maxBodyBytes: 1 } };
    const handler = new HttpHandler(
      new Proxy(options, {
        get: (target, name) => Reflect.get(target, name) ?? anything,
      }) as never,
    );
    const routes = handler.routes.filter(({ method }) => method !== "ALL");
    const documented = new Set(
      operationsOf(clientDocument as OpenApi).map(({ path, method }) => `${method} ${path}`),
    );
    const served = routes.flatMap(({ path, method }) => toPaths(path).map((each) => `${method} ${each}`));
    expect(served.filter((each) => !documented.has(each))).toEqual([]);
  });

  test("for the management port has every route of its source", async () => {
    const folder = fileURLToPath(new URL("../../src/http/management/", import.meta.url));
    const names = (await readdir(folder)).filter((name) => name.endsWith(".ts"));
    const texts = await Promise.all(names.map((name) => readFile(folder + name, "utf8")));
    const routes = texts.flatMap((text) => Array.from(text.matchAll(/app\.(get|post)\(\s*"([^"]+)"/g)));
    expect(routes.length).toBeGreaterThan(4);
    const documented = new Set(
      operationsOf(managementDocument as OpenApi).map(
        ({ path, method }) => `${method} ${path.replace(/\{\w+\}/g, "{}")}`,
      ),
    );
    const served = routes.flatMap(([, method = "", path = ""]) =>
      toPaths(path).map((each) => `${method.toUpperCase()} ${each.replace(/\{\w+\}/g, "{}")}`),
    );
    expect(served.filter((each) => !documented.has(each))).toEqual([]);
  });

  test("name only paths and methods that a relay has", async () => {
    await using managed = await startManagedRelay({
      env: { SFP_MANAGEMENT_TOKEN: TOKEN },
      args: ["--proxy-id-lists", "--debug-endpoints"],
    });
    const headers = { authorization: `Bearer ${TOKEN}` };
    const urls = { management: managed.url, clients: managed.relay.httpUrl };
    for (const [name, document] of DOCUMENTS) {
      for (const path of Object.keys(document.paths)) {
        const url = urls[name] + path.replace("{version}", "v1").replace(/\{\w+\}/g, KEY);
        const { status, headers: sent } = await fetch(url, { method: "PATCH", headers });
        expect([path, status]).toEqual([path, 405]);
        const methods = operationsOf({ paths: { [path]: document.paths[path] ?? {} } }).map(
          ({ method }) => method,
        );
        const allowed =
          sent
            .get("allow")
            ?.split(", ")
            .filter((method) => method !== "HEAD") ?? [];
        expect([path, allowed.sort()]).toEqual([path, methods.filter((method) => method !== "HEAD").sort()]);
      }
    }
  });
});

describe("responses match the OpenAPI documents", () => {
  test("on the management port", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const env = { SFP_MANAGEMENT_TOKEN: TOKEN };
    await using managed = await startManagedRelay({ upstream, env, args: ["--preload-sdk-keys", KEY] });
    const checker = new ResponseChecker(managementDocument as OpenApi);
    const plain = [
      "/",
      "/status.json",
      "/status.schema.json",
      "/openapi.json",
      "/openapi-clients.json",
      "/healthz",
      "/readyz",
      "/metrics",
    ];
    for (const path of plain) await checker.expect("GET", path, await fetch(managed.url + path));
    expect(await (await fetch(`${managed.url}/openapi.json`)).json()).toEqual(managementDocument);
    const paths = operationsOf(managementDocument as OpenApi).filter(({ path }) => path.startsWith("/v1/"));
    for (const { path, method, operation } of paths) {
      expect(operation.security).toEqual([{ token: [] }]);
      const response = await fetch(managed.url + path, { method });
      expect(response.status).toBe(401);
      await checker.expect(method, path, response);
    }
  });

  test("of the debug endpoints", async () => {
    await using managed = await startManagedRelay({ args: ["--debug-endpoints"] });
    const checker = new ResponseChecker(managementDocument as OpenApi);
    for (const [path, query, expected] of [
      ["/debug/profile", "?seconds=1", 200],
      ["/debug/profile", "?seconds=1&format=devtools", 200],
      ["/debug/profile", "?seconds=0", 400],
      ["/debug/heap", "", 200],
      ["/debug/heap", "?format=devtools", 200],
      ["/debug/heap", "?format=svg", 400],
    ] as const) {
      const response = await fetch(managed.url + path + query, { method: "POST" });
      expect([path, query, response.status]).toEqual([path, query, expected]);
      await checker.expect("POST", path, response);
    }
    const page = { method: "POST", headers: { origin: "https://example.com" } };
    const response = await fetch(`${managed.url}/debug/heap`, page);
    expect(response.status).toBe(403);
    await checker.expect("POST", "/debug/heap", response);
    // On Deno, a heap profile takes several seconds.
  }, 90_000);

  test("of POST /v1/invalidate", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const env = { SFP_MANAGEMENT_TOKEN: TOKEN };
    await using managed = await startManagedRelay({ upstream, env, args: ["--preload-sdk-keys", KEY] });
    const checker = new ResponseChecker(managementDocument as OpenApi);
    const headers = { authorization: `Bearer ${TOKEN}` };
    const order = (body: string) => fetch(`${managed.url}/v1/invalidate`, { method: "POST", headers, body });
    const known = JSON.stringify({ key: KEY });
    const first = await order(known);
    // An order for this key within a second after another one.
    const tooSoon = await eventually(
      async () => {
        const response = await order(known);
        expect(response.status).toBe(429);
        return response;
      },
      { everyMs: 0 },
    );
    const [unknown, nonsense] = [
      await order(JSON.stringify({ key: "secret-unknown" })),
      await order("nonsense"),
    ];
    const responses = [first, tooSoon, unknown, nonsense];
    expect(responses.map(({ status }) => status)).toEqual([200, 429, 404, 400]);
    for (const response of responses) await checker.expect("POST", "/v1/invalidate", response);
  });

  test("of versions, pins and config specs", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const env = { SFP_MANAGEMENT_TOKEN: TOKEN };
    await using managed = await startManagedRelay({ upstream, env, args: ["--preload-sdk-keys", KEY] });
    publishKey(upstream, KEY, 1);
    await reported(managed, (each) => expect(feedOf(each, KEY).lcut).toBe(FIRST_LCUT + 60_000));
    const checker = new ResponseChecker(managementDocument as OpenApi);
    const headers = { authorization: `Bearer ${TOKEN}` };
    const check = async (path: string, url = path, body?: object) => {
      const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
      const response = await fetch(managed.url + url, { ...init, headers });
      const copy = response.clone();
      expect([url, response.status]).toEqual([url, 200]);
      await checker.expect(init.method ?? "GET", path, response);
      return copy;
    };
    await check("/v1/versions", `/v1/versions?key=${KEY}`);
    await check("/v1/versions/diff", `/v1/versions/diff?key=${KEY}`);
    for (const extra of [{ dry_run: true }, { reason: "a bad gate" }])
      await check("/v1/rollback", "/v1/rollback", { key: KEY, ...extra });
    await check("/v1/pins");
    await check("/v1/versions", `/v1/versions?key=${KEY}`);
    await check("/v1/unpin", "/v1/unpin", { key: KEY });
    await check("/v1/pin", "/v1/pin", { key: KEY });
    const list = await check("/v1/config_specs");
    const { config_specs: files } = (await list.json()) as {
      readonly config_specs: { readonly id: string }[];
    };
    await check("/v1/config_specs/{id}", `/v1/config_specs/${files[0]?.id}`);
  });

  test("of a relay that is not ready, and of one whose operator API is off", async () => {
    await using upstream = await startUpstream();
    upstream.misbehave(failing(500));
    await using managed = await startManagedRelay({ upstream, args: ["--preload-sdk-keys", KEY] });
    const checker = new ResponseChecker(managementDocument as OpenApi);
    await checker.expect("GET", "/readyz", await fetch(`${managed.url}/readyz`));
    const off = await fetch(`${managed.url}/v1/pins`);
    expect(off.status).toBe(403);
    await checker.expect("GET", "/v1/pins", off);
    const clients = new ResponseChecker(clientDocument as OpenApi);
    const ready = await fetch(`${managed.relay.httpUrl}/v1/ready`);
    expect(ready.status).toBe(503);
    await clients.expect("GET", "/v1/ready", ready);
    const path = "/{version}/download_config_specs/{key}";
    const unavailable = await fetch(`${managed.relay.httpUrl}/v1/download_config_specs/${KEY}.json`);
    expect(unavailable.status).toBe(503);
    await clients.expect("GET", path, unavailable);
  });

  test("on the HTTP port", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream });
    const checker = new ResponseChecker(clientDocument as OpenApi);
    const check = async (path: string, expected: number, url: string, init: RequestInit = {}) => {
      const response = await fetch(managed.relay.httpUrl + url, init);
      expect([url, response.status]).toEqual([url, expected]);
      await checker.expect(init.method ?? "GET", path, response);
      return response;
    };
    const byKey = "/{version}/download_config_specs/{key}";
    const { headers } = await check(byKey, 200, `/v2/download_config_specs/${KEY}.json`);
    const etag = headers.get("etag") ?? "";
    await check(byKey, 304, `/v2/download_config_specs/${KEY}.json`, { headers: { "if-none-match": etag } });
    await check(byKey, 200, `/v2/download_config_specs/${KEY}.json?sinceTime=${headers.get("x-since-time")}`);
    await check(byKey, 200, `/v1/download_config_specs/${KEY}.json`, { method: "HEAD" });
    await check(byKey, 401, "/v1/download_config_specs/secret-unknown.json");
    await check(byKey, 400, "/v1/download_config_specs/.json");
    const own = { "statsig-api-key": KEY };
    await check("/{version}/download_config_specs", 200, "/v1/download_config_specs", { headers: own });
    const body = JSON.stringify({ sinceTime: 0 });
    await check("/{version}/download_config_specs", 200, "/v1/download_config_specs", {
      method: "POST",
      headers: own,
      body,
    });
    await check("/v1/get_id_lists", 200, "/v1/get_id_lists", { method: "POST", headers: own, body: "{}" });
    await check("/v1/log_event", 202, "/v1/log_event", {
      method: "POST",
      headers: own,
      body: '{"events":[{}]}',
    });
    await check("/v1/log_event", 400, "/v1/log_event", { method: "POST", headers: own, body: "nonsense" });
    for (const probe of ["/v1/health", "/v1/startup", "/v1/ready"]) await check(probe, 200, probe);
    const call = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";
    const json = { "content-type": "application/json" };
    await check(call, 200, call, {
      method: "POST",
      headers: json,
      body: JSON.stringify({ sdkKey: KEY, version: 2 }),
    });
    await check(call, 415, call, { method: "POST", headers: { "content-type": "text/plain" }, body: "x" });
  });
});
