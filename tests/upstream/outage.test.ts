import { describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { type Revision, revision } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const unavailable = 14;
const codings = ["identity", "gzip", "br", "zstd"] as const;
const protoHeaders = { "accept-encoding": "statsig-br, gzip, deflate, br", "statsig-supports-proto": "true" };

const textsOf = (published: Revision) => ({
  v1: JSON.stringify(specV1(published)),
  v2: JSON.stringify(specV2(published)),
});

function publish(upstream: Upstream, published: Revision): void {
  const { v1, v2 } = textsOf(published);
  upstream.publish(published.sdkKey, "v1", v1, published.lcut);
  upstream.publish(published.sdkKey, "v2", v2, published.lcut);
  upstream.publishProto(published.sdkKey, specProto(published), published.lcut);
}

const specsUrl = (relay: RelayProcess, version: "v1" | "v2", sdkKey: string): string =>
  `${relay.httpUrl}/${version}/download_config_specs/${sdkKey}.json`;

async function expectHttpServes(relay: RelayProcess, { sdkKey, lcut, ...rest }: Revision): Promise<void> {
  const texts = textsOf({ sdkKey, lcut, ...rest });
  for (const version of ["v1", "v2"] as const) {
    for (const coding of codings) {
      const answer = await rawGet(specsUrl(relay, version, sdkKey), { "accept-encoding": coding });
      expect(answer.status).toBe(200);
      expect(answer.headers["content-type"]).toStartWith("application/json");
      expect(answer.headers["content-encoding"] ?? "identity").toBe(coding);
      expect(answer.headers["x-since-time"]).toBe(String(lcut));
      expect(textOf(answer)).toBe(texts[version]);
    }
    const unchanged = await rawGet(`${specsUrl(relay, version, sdkKey)}?sinceTime=${lcut}`);
    expect(textOf(unchanged)).toBe('{"has_updates":false}');
  }
  const proto = await rawGet(`${specsUrl(relay, "v2", sdkKey)}?supports_proto=true`, protoHeaders);
  expect(proto.headers["content-type"]).toBe("application/octet-stream");
  expect(proto.headers["content-encoding"]).toBe("statsig-br");
  expect(proto.body.equals(specProto({ sdkKey, lcut, ...rest }))).toBe(true);
}

async function expectGrpcServes(client: GrpcClient, published: Revision): Promise<void> {
  const { sdkKey, lcut } = published;
  const texts = textsOf(published);
  for (const version of [1, 2] as const) {
    const expected = { spec: version === 1 ? texts.v1 : texts.v2, lastUpdated: lcut };
    const { message } = await client.getConfigSpec({ sdkKey, version });
    expect(message).toEqual(expected);
    using stream = client.streamConfigSpec({ sdkKey, version });
    expect(await stream.next()).toEqual(expected);
  }
}

describe("while upstream is down", () => {
  test("every response stays correct, in all codings and on every protocol", async () => {
    const held = revision("secret-outage", 0);
    await using upstream = await startUpstream();
    publish(upstream, held);
    await using relay = await startRelayProcess({ upstream });
    using client = new GrpcClient(relay.grpcUrl);
    await expectHttpServes(relay, held);
    await expectGrpcServes(client, held);
    using stream = client.streamConfigSpec({ sdkKey: held.sdkKey, version: 2 });
    await stream.next();

    await upstream.stop();
    // Several polls of every feed fail meanwhile.
    await sleep(3_500);
    await expectHttpServes(relay, held);
    await expectGrpcServes(client, held);
    expect(stream.waiting).toBe(0);

    const newer = revision(held.sdkKey, 1);
    publish(upstream, newer);
    await upstream.restart();
    expect(await stream.next()).toEqual({ spec: textsOf(newer).v2, lastUpdated: newer.lcut });
  }, 60_000);

  test("a key that is not held gets 503 with Retry-After, or UNAVAILABLE, until upstream is back", async () => {
    const unseen = revision("secret-unseen", 0);
    await using upstream = await startUpstream();
    publish(upstream, unseen);
    await upstream.stop();
    await using relay = await startRelayProcess({ upstream });
    using client = new GrpcClient(relay.grpcUrl);
    const refused = await rawGet(specsUrl(relay, "v1", unseen.sdkKey));
    expect(refused.status).toBe(503);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(JSON.parse(refused.body.toString())).toMatchObject({ code: 503 });
    await expect(client.getConfigSpec({ sdkKey: unseen.sdkKey })).rejects.toMatchObject({
      code: unavailable,
    });
    using stream = client.streamConfigSpec({ sdkKey: unseen.sdkKey, version: 2 });
    expect((await stream.status()).code).toBe(unavailable);

    await upstream.restart();
    await eventually(() => expectHttpServes(relay, unseen), { withinMs: 20_000 });
    await expectGrpcServes(client, unseen);
  }, 60_000);
});

describe("when upstream comes back with a newer version", () => {
  test("every feed serves it within one interval plus some seconds", async () => {
    const keys = ["secret-a", "secret-b", "secret-c"];
    await using upstream = await startUpstream();
    for (const key of keys) publish(upstream, revision(key, 0));
    await using relay = await startRelayProcess({ upstream });
    using client = new GrpcClient(relay.grpcUrl);
    for (const key of keys) await expectHttpServes(relay, revision(key, 0));
    using stream = client.streamConfigSpec({ sdkKey: "secret-a", version: 2 });
    await stream.next();

    await upstream.stop();
    // An exponential backoff would ask after 1, 3, 7 and 15 s.
    await sleep(8_000);
    for (const key of keys) publish(upstream, revision(key, 1));
    await upstream.restart();
    const withinMs = 5_000;
    const { lcut } = revision("", 1);
    const isServed = async (version: "v1" | "v2", key: string) =>
      expect((await rawGet(specsUrl(relay, version, key))).headers["x-since-time"]).toBe(String(lcut));
    const served = keys.flatMap((key) =>
      (["v1", "v2"] as const).map((version) =>
        eventually(() => isServed(version, key), { withinMs, everyMs: 100 }),
      ),
    );
    const [streamed] = await Promise.all([stream.next(withinMs), ...served]);
    expect(streamed.lastUpdated).toBe(lcut);
    for (const key of keys) await eventually(() => expectHttpServes(relay, revision(key, 1)));
    await expectGrpcServes(client, revision("secret-c", 1));
  }, 60_000);
});
