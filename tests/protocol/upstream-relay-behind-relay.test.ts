import { describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** A version takes two polls. */
const PATIENT = { withinMs: 15_000 };

/** An upstream, a relay behind it, and a relay behind that relay. */
async function startChain() {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const middle = stack.use(await startRelayProcess({ upstream }));
  const relay = stack.use(await startRelayProcess({ env: { STATSIG_ENDPOINT: middle.httpUrl } }));
  const owned = stack.move();
  return { upstream, middle, relay, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const proto = { "accept-encoding": "statsig-br, gzip", "statsig-supports-proto": "true" };

describe("Upstream requests: a relay behind another relay", () => {
  test("serves a version and the next one in every format, over HTTP and gRPC", async () => {
    await using chain = await startChain();
    const { upstream, relay } = chain;
    using client = new GrpcClient(relay.grpcUrl);
    const sdkKey = "secret-chain";
    const first = publishKey(upstream, sdkKey);
    using stream = client.streamConfigSpec({ sdkKey, version: 2 });
    expect(await stream.next()).toEqual({ spec: first.v2, lastUpdated: first.lcut });

    const urlOf = (version: "v1" | "v2", query = "") =>
      `${relay.httpUrl}/${version}/download_config_specs/${sdkKey}.json${query}`;
    for (const number of [0, 1]) {
      const published = publishKey(upstream, sdkKey, number);
      await eventually(async () => {
        for (const version of ["v1", "v2"] as const) {
          const answer = await rawGet(urlOf(version), { "accept-encoding": "br" });
          expect(textOf(answer)).toBe(published[version]);
          expect(answer.headers["x-since-time"]).toBe(String(published.lcut));
        }
        const asProto = await rawGet(urlOf("v2", "?supports_proto=true"), proto);
        expect(asProto.headers["content-type"]).toBe("application/octet-stream");
        expect(asProto.headers["content-encoding"]).toBe("statsig-br");
        expect(asProto.body.equals(published.proto)).toBe(true);
      }, PATIENT);
      const none = await rawGet(urlOf("v2", `?sinceTime=${published.lcut}`));
      expect(textOf(none)).toBe('{"has_updates":false}');
    }
    expect((await stream.next()).lastUpdated).toBe(publishKey(upstream, sdkKey, 1).lcut);
  });

  test("both return 401 for an unknown key, and 503 if upstream fails", async () => {
    await using chain = await startChain();
    const { upstream, relay } = chain;
    const ask = (sdkKey: string) => rawGet(`${relay.httpUrl}/v1/download_config_specs/${sdkKey}.json`);
    const unknown = await ask("secret-unknown");
    expect([unknown.status, unknown.body.toString()]).toEqual([401, "Unauthorized"]);
    await upstream.stop();
    expect((await ask("secret-other")).status).toBe(503);
  });

  test("serves cached config while the relay in the middle is down", async () => {
    await using chain = await startChain();
    const { upstream, middle, relay } = chain;
    const { sdkKey, v1 } = publishKey(upstream, "secret-middle");
    const ask = () => rawGet(`${relay.httpUrl}/v1/download_config_specs/${sdkKey}.json`);
    expect(textOf(await ask())).toBe(v1);
    await middle.kill();
    await eventually(() => expect(relay.output()).toContain("upstream failing"), PATIENT);
    expect(textOf(await ask())).toBe(v1);
  });
});
