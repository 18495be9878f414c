import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { FIRST_LCUT as LCUT } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const NO_UPDATE = '{"has_updates":false}';
const PROTO = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };

afterAll(deleteFolders);

/** Publishes a content of one and the same lcut in all formats. */
function publish(upstream: Upstream, sdkKey: string, checksum: string) {
  const options = { sdkKey, lcut: LCUT, color: `color of ${checksum}`, checksum };
  const content = {
    v1: JSON.stringify(specV1(options)),
    v2: JSON.stringify(specV2(options)),
    proto: Buffer.from(specProto(options)),
  };
  upstream.publish(sdkKey, "v1", content.v1, LCUT);
  upstream.publish(sdkKey, "v2", content.v2, LCUT);
  upstream.publishProto(sdkKey, content.proto, LCUT);
  return content;
}

const ask = (relay: RelayProcess, sdkKey: string, query = "", headers = {}) =>
  rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json${query}`, headers);

const askText = async (relay: RelayProcess, sdkKey: string, query = "") =>
  textOf(await ask(relay, sdkKey, query));

describe("a payload with the cached lcut and another checksum", () => {
  const sdkKey = "secret-content-served";

  test("is served over HTTP and gRPC, and to a relay behind this one", async () => {
    await using upstream = await startUpstream();
    const first = publish(upstream, sdkKey, "1001");
    await using relay = await startRelayProcess({ upstream });
    await using behind = await startRelayProcess({ env: { STATSIG_ENDPOINT: relay.httpUrl } });
    using client = new GrpcClient(relay.grpcUrl);
    using empty = client.streamConfigSpec({ sdkKey, version: 2 });
    using upToDate = client.streamConfigSpec({ sdkKey, version: 2, sinceTime: LCUT });
    expect((await empty.next()).spec).toBe(first.v2);
    expect((await upToDate.next()).spec).toBe(NO_UPDATE);
    expect((await ask(relay, sdkKey, "", PROTO)).body.equals(first.proto)).toBe(true);
    expect(await askText(behind, sdkKey)).toBe(first.v2);

    const second = publish(upstream, sdkKey, "1002");
    expect(await empty.next()).toEqual({ spec: second.v2, lastUpdated: LCUT });
    expect(await upToDate.next()).toEqual({ spec: second.v2, lastUpdated: LCUT });
    const isServed = async () => {
      expect((await ask(relay, sdkKey, "", PROTO)).body.equals(second.proto)).toBe(true);
      expect(await askText(behind, sdkKey)).toBe(second.v2);
    };
    await eventually(isServed);
    // By lcut and checksum, in the body of both formats, and by lcut alone.
    expect(await askText(relay, sdkKey, `?sinceTime=${LCUT}&checksum=1001`)).toBe(second.v2);
    expect(await askText(relay, sdkKey, `?sinceTime=${LCUT}&checksum=1002`)).toBe(NO_UPDATE);
    expect(await askText(relay, sdkKey, `?sinceTime=${LCUT}`)).toBe(NO_UPDATE);
    const { body, headers } = await ask(relay, sdkKey, `?sinceTime=${LCUT}&checksum=1001`, PROTO);
    expect(body.equals(second.proto)).toBe(true);
    expect(headers["x-since-time"]).toBe(String(LCUT));
    const query = new URLSearchParams({ sinceTime: String(LCUT), checksum: "1002" });
    await eventually(() => {
      const asked = upstream.requests.filter(
        ({ path }) => path === `/v2/download_config_specs/${sdkKey}.json`,
      );
      expect(asked.at(-1)?.url).toContain(`?${query}`);
    });
    const line = `config specs updated .*lcut=${LCUT} previous_lcut=${LCUT} `;
    await eventually(() => expect(relay.output()).toMatch(new RegExp(line)));
  }, 60_000);

  test("is sent on a stream once, while upstream sends it again with each poll", async () => {
    await using upstream = await startUpstream();
    publish(upstream, sdkKey, "1001");
    await using relay = await startRelayProcess({ upstream });
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey, version: 2 });
    await stream.next();
    const second = publish(upstream, sdkKey, "1002");
    upstream.misbehave({
      kind: "edit",
      edit: (right) => ({
        ...right,
        headers: { "x-since-time": String(LCUT) },
        body: Buffer.from(second.v2),
      }),
    });
    expect((await stream.next()).spec).toBe(second.v2);
    const polls = upstream.requests.length;
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(polls + 2));
    expect(stream.waiting).toBe(0);
  }, 30_000);
});

/** `backup` returns the options of relays that share one backup. */
function describeRestart(name: string, backup: () => RelayOptions): void {
  test(`is in the ${name} backup when the relay is killed`, async () => {
    const sdkKey = `secret-content-${name}`;
    await using upstream = await startUpstream();
    publish(upstream, sdkKey, "1001");
    let last = publish(upstream, sdkKey, "1001");
    {
      await using relay = await startRelayProcess({ ...backup(), upstream });
      await ask(relay, sdkKey);
      await ask(relay, sdkKey, "", PROTO);
      last = publish(upstream, sdkKey, "1002");
      const isServed = async () => {
        expect(await askText(relay, sdkKey)).toBe(last.v2);
        expect((await ask(relay, sdkKey, "", PROTO)).body.equals(last.proto)).toBe(true);
      };
      await eventually(isServed);
      await relay.kill();
    }
    await upstream.stop();
    await using relay = await startRelayProcess({ ...backup(), upstream });
    expect(await askText(relay, sdkKey)).toBe(last.v2);
    expect((await ask(relay, sdkKey, "", PROTO)).body.equals(last.proto)).toBe(true);
  }, 40_000);
}

describe("another content with the lcut in the backup", () => {
  const folder = newFolder();
  describeRestart("local", () => ({ cache: "local", args: ["--local-cache-path", folder] }));
});

describeWith("redis-server")("another content with the lcut in Redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis[Symbol.asyncDispose]());
  const inRedis = (): RelayOptions => ({
    cache: "redis",
    env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
  });
  describeRestart("redis", inRedis);

  test("is served by all relays of a fleet when one of them has it", async () => {
    const sdkKey = "secret-content-fleet";
    await using upstream = await startUpstream();
    const first = publish(upstream, sdkKey, "1001");
    const start = () => startRelayProcess({ ...inRedis(), args: ["--fleet-polling"], upstream });
    await using one = await start();
    await using other = await start();
    for (const relay of [one, other]) expect(await askText(relay, sdkKey)).toBe(first.v2);
    for (const checksum of ["1002", "1003", "1002"]) {
      const last = publish(upstream, sdkKey, checksum);
      await eventually(async () => {
        for (const relay of [one, other]) expect(await askText(relay, sdkKey)).toBe(last.v2);
      });
    }
    const updates = (relay: RelayProcess) => relay.output().split("config specs updated").length - 1;
    const polledTimes = async (times: number) => {
      const before = upstream.requests.length;
      const polled = () => expect(upstream.requests.length).toBeGreaterThanOrEqual(before + times);
      await eventually(polled, { withinMs: 30_000 });
    };
    // The lines of the last version have arrived by then.
    await polledTimes(1);
    const before = [one, other].map(updates);
    await polledTimes(5);
    expect([one, other].map(updates)).toEqual(before);
  }, 60_000);
});
