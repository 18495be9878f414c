import { expect } from "bun:test";
import { parseSdkKey, type SdkKey } from "../../../src/access/sdk-key.ts";
import { GrpcClient } from "../clients/grpc-client.ts";
import { eventually } from "../common/wait.ts";
import { UNPREFIXED } from "../redis/unprefixed-keys.ts";
import { specsOf } from "../relay/access.ts";
import { askFrom, expectDelta, publishVersion } from "../relay/backed-up-deltas.ts";
import { sendOrder } from "../relay/operated-relay.ts";
import { FIRST_LCUT, forKey, publishKey, versionOf } from "../upstream/published-key.ts";
import { body, status } from "../upstream/upstream.ts";
import type { Answer } from "../upstream/upstream-request.ts";
import { KEYS, type MetricTrigger } from "./metric-trigger.ts";
import type { MonitoredRelay } from "./monitored-relay.ts";

/** A version reaches clients with the next poll, and with another one if a delta is rejected. */
const POLLED = { withinMs: 20_000 };

const { first, second, third, fourth, changing, nowhere, garbage, scrambled } = KEYS;

async function ask({ relay }: MonitoredRelay, ...sdkKeys: readonly string[]): Promise<void> {
  for (const sdkKey of sdkKeys) await (await specsOf(relay, sdkKey)).arrayBuffer();
}

const redisKeyOf = (sdkKey: string) =>
  UNPREFIXED.entries({ sdkKey: parseSdkKey(sdkKey) as SdkKey, version: "v2", format: "json" }, ["v3"])[0]
    .name;

/** The relay extends the expiry of all entries whenever Redis is back. */
const reconnect = ({ redis }: MonitoredRelay) => redis.cli("CLIENT", "KILL", "TYPE", "normal");

/** Triggers for the path from upstream to memory, Redis and clients. Each builds on the previous ones. */
export const SPEC_TRIGGERS: readonly MetricTrigger[] = [
  {
    what: "a client requests a feed for the first time",
    metrics: [
      "HttpServerRequestSuccess",
      "HttpDataProviderGotData",
      "ConfigSpecStoreGotData",
      "DcsFetchSource",
      "UpstreamEndpointAsked",
      "ConfigSpecCurrentLcut",
      "ConfigSpecLcutTimestampMs",
      "ConfigSpecConfirmedAgeS",
      "ConfigSpecBytes",
      "ConfigSpecServedBytes",
      "ConfigSpecReceivedBytes",
      "RedisCacheWriteSucceed",
      "FleetLooked",
    ],
    run: async (at) => {
      publishKey(at.upstream, first, 5);
      await ask(at, first);
    },
  },
  {
    what: "upstream has nothing new",
    metrics: ["HttpDataProviderNoData", "BackgroundDataProviderRequestInterval", "PollWait"],
    run: () => {},
  },
  {
    what: "a client gets a delta, and upstream sends one that proves nothing",
    metrics: ["DeltaComputed", "DeltaResponse", "DeltaSavedBytes", "DeltaMemoryBytes", "DeltaReceived"],
    run: async ({ relay, upstream }) => {
      publishVersion(upstream, changing, 1);
      await askFrom(relay, changing, 0);
      const edit = (right: Answer) => ({ ...right, headers: { ...right.headers, "x-deltas-used": "true" } });
      upstream.misbehave(
        { kind: "edit", edit },
        { when: ({ query }) => query.has("accept_deltas"), times: 1 },
      );
      publishVersion(upstream, changing, 2);
      await eventually(() => expectDelta(relay, changing, 1, 2), POLLED);
    },
  },
  {
    what: "operators roll back a key, and upstream publishes another version",
    metrics: [
      "OperatorActions",
      "SdkKeysPinned",
      "VersionHistoryBytes",
      "ConfigSpecRepublished",
      "ConfigSpecHeldBack",
    ],
    run: async (at) => {
      const url = at.relay.urlOf("management");
      await sendOrder(url, "/v1/rollback", { key: changing });
      publishVersion(at.upstream, changing, 3);
      await eventually(() => expect(at.relay.output()).toContain("newer config specs held back"), POLLED);
    },
  },
  {
    // Not at once: a scrape must see the pin.
    what: "operators release the pin",
    metrics: [],
    run: ({ relay }) => sendOrder(relay.urlOf("management"), "/v1/unpin", { key: changing }),
  },
  {
    what: "an RPC, and a stream that gets a new version",
    metrics: [
      "GrpcServerRequest",
      "GrpcStreamingStreamedInitialized",
      "GrpcStreamingHealthcheckSent",
      "GrpcEstimatedActiveStreams",
      "StreamingChannelGotNewData",
      "GrpcStreamingStreamedResponse",
      "UpdateConfigSpecStorePropagationDelayMs",
      "GrpcStreamingStreamDisconnected",
    ],
    run: async ({ relay, upstream }) => {
      using client = new GrpcClient(relay.grpcUrl);
      await client.getConfigSpec({ sdkKey: first, version: 2 });
      const { lcut } = versionOf(first, 5);
      using stream = client.streamConfigSpec({ sdkKey: first, version: 2, sinceTime: lcut });
      await stream.next();
      publishKey(upstream, first, 6);
      await stream.next();
    },
  },
  {
    what: "Redis is back with what it had",
    metrics: ["RedisCacheTtlRefreshed"],
    run: reconnect,
  },
  {
    what: "Redis loses an entry",
    metrics: ["RedisCacheTtlMissed"],
    run: async (at) => {
      await at.redis.cli("DEL", redisKeyOf(first));
      await reconnect(at);
    },
  },
  {
    what: "the Redis user may not extend the expiry of an entry",
    metrics: ["RedisCacheTtlFailed"],
    run: async (at) => {
      await at.redis.cli("ACL", "SETUSER", "default", "-expire");
      await reconnect(at);
    },
  },
  {
    what: "a key that is not allowed, an unknown path, and a URL that is too long",
    metrics: [
      "KeyRefused",
      "HttpServerRequestFailed",
      "GrpcStreamRefused",
      "GrpcStreamingStreamUnauthorized",
      "LimitReached",
    ],
    run: async ({ relay, redis }) => {
      await redis.cli("ACL", "SETUSER", "default", "+expire");
      await specsOf(relay, "secret-of-a-stranger");
      await fetch(`${relay.httpUrl}/v1/${"a".repeat(400)}`);
      using client = new GrpcClient(relay.grpcUrl);
      using stream = client.streamConfigSpec({ sdkKey: "secret-of-a-stranger" });
      await stream.status();
    },
  },
  {
    what: "upstream sends garbage, and then an older version",
    metrics: ["PayloadRefused", "HttpDataProviderError", "HttpDataProviderNoDataDueToBadLcut"],
    run: ({ upstream }) => {
      const older = versionOf(first, 1);
      const headers = { "x-since-time": String(older.lcut) };
      upstream.misbehave(body(older.v2, headers), { ...forKey(first), times: 1 });
      upstream.misbehave(body('{"time":'), { ...forKey(first), times: 1 });
    },
  },
  {
    what: "more keys are requested than can be cached",
    metrics: ["ConfigSpecEvicted"],
    run: async (at) => {
      for (const sdkKey of [second, third, fourth]) publishKey(at.upstream, sdkKey);
      await ask(at, second, third, fourth);
    },
  },
  {
    what: "Redis has a newer version than upstream",
    metrics: ["RedisCacheWriteSkipped", "RedisCacheReadSucceed"],
    run: async (at) => {
      publishKey(at.upstream, first, 2);
      await ask(at, first);
    },
  },
  {
    what: "upstream fails, and Redis has no entry or an unusable one",
    metrics: ["RedisCacheReadMiss", "RedisCacheReadFailed", "BackupUnusable"],
    run: async (at) => {
      await at.redis.cli("HSET", redisKeyOf(garbage), "config", "{", "lcut", String(FIRST_LCUT));
      await at.redis.cli("SET", redisKeyOf(scrambled), "no hash");
      for (const sdkKey of [nowhere, garbage, scrambled]) {
        at.upstream.misbehave(status(500), forKey(sdkKey));
        await ask(at, sdkKey);
      }
    },
  },
  {
    what: "upstream revokes a key",
    metrics: ["RedisCacheDeleteSucceed", "SdkKeyUnauthorized"],
    run: ({ upstream }) => upstream.forget(first),
  },
  {
    what: "Redis is down while upstream has a new version of one key and revokes another",
    metrics: ["RedisCacheWriteFailed", "RedisCacheDeleteFailed", "BackupFailed"],
    run: async ({ upstream, redis }) => {
      await redis.kill();
      publishKey(upstream, third, 1);
      upstream.forget(fourth);
    },
  },
];
