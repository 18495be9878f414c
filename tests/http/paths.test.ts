import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { collapseSlashes } from "../../src/http/request-path.ts";
import { curl } from "../support/clients/curl.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { describeWith } from "../support/common/needs.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { listed } from "../support/id-lists/id-list-upstream.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { curlTls, startRelayWithTls, TlsSetup } from "../support/relay/relay-with-tls.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const shared = shareRelay();
const rpc = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";

/** Ways to write a path with slashes that do not count. */
const variantsOf = (path: string): string[] => [
  `${path}/`,
  `${path}//`,
  `/${path}`,
  path.replaceAll("/", "//"),
];

test("slashes that do not count are those that repeat another or end the path", () => {
  const segments = fc.array(fc.stringMatching(/^[a-z%.]{1,4}$/), { maxLength: 5 });
  const slashes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 6, maxLength: 6 });
  fc.assert(
    fc.property(segments, slashes, fc.nat(3), (names, counts, trailing) => {
      const path =
        names.map((name, at) => "/".repeat(counts[at] ?? 1) + name).join("") + "/".repeat(trailing);
      expect(collapseSlashes(path || "/")).toBe(`/${names.join("/")}`);
    }),
  );
});

describe("repeated and trailing slashes on every route", () => {
  test.each(["/v1/health", "/v1/ready", "/v1/startup"])("%s", async (path) => {
    for (const each of variantsOf(path)) {
      const { status, body } = await rawHttp(`${shared.relay.httpUrl}${each}`);
      expect([each, status, body.toString()]).toEqual([each, 200, "{}"]);
    }
  });

  test("RPCs over Connect", async () => {
    const { sdkKey, v2 } = publishKey(shared.upstream, "secret-paths-rpc");
    const headers = [["content-type", "application/json"]] as const;
    const body = JSON.stringify({ sdkKey, version: 2 });
    for (const path of variantsOf(rpc)) {
      const response = await rawHttp(`${shared.relay.httpUrl}${path}`, { method: "POST", headers, body });
      expect([path, JSON.parse(response.body.toString()).spec]).toEqual([path, v2]);
    }
  });

  test("methods that a path does not have", async () => {
    for (const path of [...variantsOf("/v1/health"), ...variantsOf("/v1/download_config_specs/k.json")]) {
      const { status, headers } = await rawHttp(`${shared.relay.httpUrl}${path}`, { method: "DELETE" });
      expect([path, status]).toEqual([path, 405]);
      expect(headers.allow).toStartWith("GET, HEAD");
    }
  });

  test("files of ID lists; encoded slashes belong to the fileID", async () => {
    await using relay = await IdListRelay.start({ values: { "proxy-id-lists": "true" } });
    const text = listed("acme");
    relay.upstream.put("secret-paths", "companies", text);
    const manifest = await rawHttp(`${relay.url}/v1/get_id_lists/secret-paths.json`);
    const [list] = Object.values<{ readonly url: string }>(JSON.parse(manifest.body.toString()));
    const { pathname } = new URL(list?.url ?? "");
    for (const path of variantsOf(pathname)) {
      const response = await rawHttp(`${relay.url}${path}`);
      expect([path, response.status, response.body.toString()]).toEqual([path, 200, text]);
    }
    expect((await rawHttp(`${relay.url}${pathname}%2F`)).status).toBe(404);
  });

  test("the management port", async () => {
    await using managed = await startManagedRelay({ upstream: shared.upstream });
    for (const path of ["/healthz", "/readyz", "/metrics", "/status.json"].flatMap(variantsOf)) {
      const { status, headers } = await rawHttp(`${managed.url}${path}`);
      expect([path, status]).toEqual([path, 200]);
      expect(headers["x-content-type-options"]).toBe("nosniff");
    }
    expect((await rawHttp(`${managed.url}//`)).headers["content-type"]).toStartWith("text/html");
  });
});

describeWith("openssl", "curl")("repeated and trailing slashes over TLS", () => {
  test.each(["--http1.1", "--http2"])("curl %s", async (protocol) => {
    await using setup = await TlsSetup.start("secret-paths-tls");
    await using relay = await startRelayWithTls({ server: setup.server, upstream: setup.upstream });
    const url = relay.urlOf("https");
    const specs = `/v2/download_config_specs/${setup.published.sdkKey}.json`;
    const ask = (path: string) => curl(...curlTls(setup.caPath), "--path-as-is", protocol, `${url}${path}`);
    for (const path of variantsOf(specs)) {
      const { status, body, headers } = await ask(path);
      expect([path, status, Buffer.from(body).toString()]).toEqual([path, 200, setup.published.v2]);
      expect(headers.get("x-frame-options")).toBe("SAMEORIGIN");
    }
    const missing = await ask("//none//");
    expect([missing.status, missing.headers.get("permissions-policy")]).toEqual([404, "interest-cohort=()"]);
    expect((await ask("//v1//health/")).status).toBe(200);
  });
});
