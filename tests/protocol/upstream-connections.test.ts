import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { Authority, type Pem, pemOf } from "../support/relay/pki.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { OutboundProxy } from "../support/upstream/outbound-proxy.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const PATIENT = { withinMs: 15_000 };

const ask = (relay: RelayProcess, { sdkKey }: PublishedKey, query = "", headers = {}) =>
  rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json${query}`, headers);

/** Checks the current version, then the next one, in every version and format. */
async function expectWorks(relay: RelayProcess, upstream: Parameters<typeof publishKey>[0]): Promise<void> {
  const proto = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };
  for (const number of [0, 1]) {
    const key = publishKey(upstream, "secret-connections", number);
    await eventually(async () => {
      expect(textOf(await ask(relay, key))).toBe(key.v2);
      expect((await ask(relay, key, "", proto)).body.equals(key.proto)).toBe(true);
    }, PATIENT);
  }
}

describeWith("openssl")("Upstream requests: over TLS", () => {
  let authority: Authority;
  let certificate: Pem;
  beforeAll(() => {
    authority = new Authority();
    certificate = pemOf(authority.issue());
  });
  afterAll(() => authority[Symbol.dispose]());
  const trusting = () => ({ NODE_EXTRA_CA_CERTS: authority.caPath });

  test.each([
    ["HTTP/1.1 alone", "1.1", ["1.1"]],
    ["HTTP/2 alone", "2", ["2.0"]],
    ["HTTP/1.1 and HTTP/2", "both", ["1.1", "2.0"]],
  ] as const)("an upstream that speaks %s", async (_, http, allowed) => {
    await using upstream = await startUpstream({ tls: { ...certificate, http } });
    await using relay = await startRelayProcess({ upstream, env: trusting() });
    await expectWorks(relay, upstream);
    for (const { httpVersion } of upstream.requests) expect(allowed.map(String)).toContain(httpVersion);
  });

  test("reconnects to an HTTP/2 upstream after an outage", async () => {
    await using upstream = await startUpstream({ tls: { ...certificate, http: "2" } });
    await using relay = await startRelayProcess({ upstream, env: trusting() });
    const first = publishKey(upstream, "secret-back");
    expect(textOf(await ask(relay, first))).toBe(first.v2);
    await upstream.stop();
    const second = publishKey(upstream, first.sdkKey, 1);
    expect(textOf(await ask(relay, first))).toBe(first.v2);
    await upstream.restart();
    await eventually(async () => expect(textOf(await ask(relay, first))).toBe(second.v2), PATIENT);
  });

  test.each(["1.1", "2"] as const)("HTTP/%s: an untrusted certificate is refused", async (http) => {
    await using upstream = await startUpstream({ tls: { ...certificate, http } });
    await using relay = await startRelayProcess({ upstream });
    expect((await ask(relay, publishKey(upstream, "secret-untrusted"))).status).toBe(503);
    expect(upstream.requests).toHaveLength(0);
  });

  test("reaches an upstream with both protocols through an HTTPS_PROXY tunnel", async () => {
    await using upstream = await startUpstream({ tls: { ...certificate, http: "both" } });
    await using proxy = await OutboundProxy.start();
    await using relay = await startRelayProcess({ upstream, env: { ...trusting(), HTTPS_PROXY: proxy.url } });
    await expectWorks(relay, upstream);
    expect(proxy.seen[0]).toBe(`CONNECT ${new URL(upstream.url).host}`);
  });

  test("cannot reach an HTTP/2-only upstream through HTTPS_PROXY, and logs that", async () => {
    await using upstream = await startUpstream({ tls: { ...certificate, http: "2" } });
    await using proxy = await OutboundProxy.start();
    await using relay = await startRelayProcess({ upstream, env: { ...trusting(), HTTPS_PROXY: proxy.url } });
    expect((await ask(relay, publishKey(upstream, "secret-h2-tunnel"))).status).toBe(503);
    await eventually(() =>
      expect(relay.output()).toContain('detail="HTTP/2 is not supported through a proxy"'),
    );
  });
});

describe("Upstream requests: through a proxy", () => {
  test("reaches an http:// upstream through HTTP_PROXY", async () => {
    await using upstream = await startUpstream();
    await using proxy = await OutboundProxy.start();
    await using relay = await startRelayProcess({ upstream, env: { HTTP_PROXY: proxy.url } });
    await expectWorks(relay, upstream);
    const path = "/v2/download_config_specs/secret-connections.json";
    expect(proxy.seen[0]).toBe(`GET ${upstream.url}${path}`);
  });

  test("bypasses the proxy for a host in NO_PROXY", async () => {
    await using upstream = await startUpstream();
    await using proxy = await OutboundProxy.start();
    const env = { HTTP_PROXY: proxy.url, NO_PROXY: "127.0.0.1" };
    await using relay = await startRelayProcess({ upstream, env });
    await expectWorks(relay, upstream);
    expect(proxy.seen).toEqual([]);
  });

  test("with an unreachable proxy, returns 503, and still serves cached config", async () => {
    await using upstream = await startUpstream();
    const proxy = await OutboundProxy.start();
    await using _proxy = proxy;
    await using relay = await startRelayProcess({ upstream, env: { HTTP_PROXY: proxy.url } });
    const held = publishKey(upstream, "secret-proxied");
    expect(textOf(await ask(relay, held))).toBe(held.v2);
    await proxy[Symbol.asyncDispose]();
    expect((await ask(relay, publishKey(upstream, "secret-too-late"))).status).toBe(503);
    expect(textOf(await ask(relay, held))).toBe(held.v2);
  });

  test("without STATSIG_ENDPOINT, upstream is https://api.statsigcdn.com", async () => {
    await using proxy = await OutboundProxy.start({ refusesTunnels: true });
    await using relay = await startRelayProcess({ env: { HTTPS_PROXY: proxy.url } });
    const answer = await rawGet(`${relay.httpUrl}/v1/download_config_specs/secret-default.json`);
    expect(answer.status).toBe(503);
    expect(new Set(proxy.seen)).toEqual(new Set(["CONNECT api.statsigcdn.com:443"]));
  });
});
