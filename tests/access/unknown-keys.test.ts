import { afterAll, describe, expect, test } from "bun:test";
import { status as grpcStatus } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { failureOf } from "../support/common/failure.ts";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream } from "../support/id-lists/id-list-upstream.ts";
import { createUnknownKey, exhaust, idListsOf, sendEvents, specsOf } from "../support/relay/access.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

afterAll(deleteFolders);

const RATE_PER_S = 20;

/** A burst of one unknown key, and one more per second. */
const FEW = ["-m", "1", "--unknown-key-rate-per-s", "1"];

const isThrottled = async (answer: Response): Promise<void> => {
  expect(answer.status).toBe(429);
  expect(answer.headers.get("retry-after")).toBe("1");
  expect(await answer.json()).toEqual({
    code: 429,
    reason: "Too Many Requests",
    message: "Too many unknown SDK keys were requested: retry later",
  });
};

/** Returns the status of each request, with a limited number in flight. */
async function statusesOf(keys: readonly string[], relay: RelayProcess, atOnce: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let from = 0; from < keys.length; from += atOnce) {
    const answers = await Promise.all(keys.slice(from, from + atOnce).map((key) => specsOf(relay, key)));
    statuses.push(...answers.map((answer) => answer.status));
  }
  return statuses;
}

describe("without --allowed-sdk-keys", () => {
  test("3,000 unknown keys cost upstream one request for each key that can be cached, and a known key is served throughout", async () => {
    await using upstream = await startUpstream();
    const { sdkKey, v2 } = publishKey(upstream, "secret-known");
    await using relay = await startRelayProcess({ upstream, args: ["-m", "1000"], pollIntervalS: 60 });
    const began = performance.now();
    expect((await specsOf(relay, sdkKey)).status).toBe(200);
    const unknownKeys = Array.from({ length: 3_000 }, createUnknownKey);
    const flood = statusesOf(unknownKeys, relay, 200).finally(() => over.abort());
    const over = new AbortController();
    const known: number[] = [];
    while (!over.signal.aborted) {
      const answer = await rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
      expect(textOf(answer)).toBe(v2);
      known.push(answer.status);
    }
    const statuses = await flood;
    const seconds = (performance.now() - began) / 1_000;
    const asked = statuses.filter((status) => status === 401).length;
    expect(asked).toBeWithin(999, 1_000 + Math.ceil(seconds * RATE_PER_S));
    expect(statuses.filter((status) => status === 429)).toHaveLength(3_000 - asked);
    expect(upstream.count(/secret-unknown/)).toBe(asked);
    await isThrottled(await exhaust(relay));
    expect(new Set(known)).toEqual(new Set([200]));
    expect(known.length).toBeGreaterThan(10);
    await eventually(() =>
      expect(relay.output()).toContain("rejected unknown SDK keys: --unknown-key-rate-per-s reached"),
    );
    expect(relay.output()).not.toContain("secret-unknown");
  }, 60_000);

  test("a cold start with 1,000 valid keys is admitted as a whole, on every route that an SDK uses", async () => {
    await using upstream = await startUpstream();
    const keys = Array.from(
      { length: 1_000 },
      (_, index) => publishKey(upstream, `secret-cold-${index}`).sdkKey,
    );
    await using relay = await startRelayProcess({ upstream, pollIntervalS: 600 });
    let unanswered = keys.flatMap((key) => [
      () => specsOf(relay, key),
      () => specsOf(relay, key, "v1"),
      () => idListsOf(relay, key),
    ]);
    while (unanswered.length > 0) {
      const startedAt = performance.now();
      const statuses = await Promise.all(unanswered.map(async (ask) => (await ask()).status));
      // On a busy machine upstream may take longer than a request waits.
      const isLate = performance.now() - startedAt > 8_000;
      expect(statuses.filter((status) => status !== 200 && !(isLate && status === 503))).toEqual([]);
      unanswered = unanswered.filter((_, at) => statuses[at] !== 200);
      if (unanswered.length > 0) await Bun.sleep(1_500);
    }
  }, 120_000);

  test("a cached failure is returned even if no token is left", async () => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({ upstream, args: FEW });
    expect((await specsOf(relay, "secret-denied")).status).toBe(401);
    await isThrottled(await exhaust(relay));
    expect((await specsOf(relay, "secret-denied")).status).toBe(401);
  });

  test("throttles an unknown key beyond the rate for ID lists and over gRPC; its log events must be retried", async () => {
    await using upstream = await startUpstream();
    await using relay = await startRelayProcess({ upstream, args: FEW });
    using client = new GrpcClient(relay.grpcUrl);
    const throttled = { code: grpcStatus.RESOURCE_EXHAUSTED, details: "Too many unknown SDK keys" };
    /** Asks when no token is left, and again if there was another one meanwhile. */
    const exhausted = (ask: (unknownKey: string) => Promise<void>) =>
      eventually(async () => {
        await exhaust(relay);
        await ask(createUnknownKey());
      });
    await exhausted(async (sdkKey) => await isThrottled(await idListsOf(relay, sdkKey)));
    await exhausted(async (sdkKey) =>
      expect(await failureOf(client.getConfigSpec({ sdkKey }))).toMatchObject(throttled),
    );
    await exhausted(async (sdkKey) =>
      expect(await client.streamConfigSpec({ sdkKey }).status()).toMatchObject(throttled),
    );
    await exhausted(async (sdkKey) => {
      const events = await sendEvents(relay, sdkKey);
      expect([events.status, events.headers.get("retry-after")]).toEqual([503, "1"]);
      expect(await events.json()).toMatchObject({
        message: "Too many unknown SDK keys were requested: retry later",
      });
    });
    expect(relay.output()).not.toContain("limit of open streams reached");
  });
});

describe("a key in the local backup", () => {
  test("is served in all versions and formats even if unknown keys took all tokens", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-backed-up");
    const options = { upstream, cache: "local", pollIntervalS: 60 } as const;
    const folder = ["--local-cache-path", newFolder()];
    {
      await using relay = await startRelayProcess({ ...options, args: folder });
      expect((await specsOf(relay, key.sdkKey)).status).toBe(200);
      expect((await idListsOf(relay, key.sdkKey)).status).toBe(200);
      await relay.stop();
    }
    await using relay = await startRelayProcess({ ...options, args: [...folder, ...FEW] });
    await exhaust(relay);
    upstream.forgetRequests();
    expect(await (await specsOf(relay, key.sdkKey)).text()).toBe(key.v2);
    await eventually(() => expect(relay.output()).toContain("source=local"));
    // The backup has none of these feeds, but another feed proves that the key is valid.
    const proto = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };
    const url = `${relay.httpUrl}/v2/download_config_specs/${key.sdkKey}.json`;
    expect((await rawGet(url, proto)).body.equals(key.proto)).toBe(true);
    expect(await (await specsOf(relay, key.sdkKey, "v1")).text()).toBe(key.v1);
    expect((await idListsOf(relay, key.sdkKey)).status).toBe(200);
  });

  test("is found by any of its feeds", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-other-form");
    const options = { upstream, cache: "local", pollIntervalS: 60 } as const;
    const folder = ["--local-cache-path", newFolder()];
    {
      await using relay = await startRelayProcess({ ...options, args: folder });
      expect((await specsOf(relay, key.sdkKey, "v1")).status).toBe(200);
      await relay.stop();
    }
    await using relay = await startRelayProcess({ ...options, args: [...folder, ...FEW] });
    await exhaust(relay);
    expect(await (await specsOf(relay, key.sdkKey)).text()).toBe(key.v2);
  });

  test("is served its ID lists if the backup has nothing else", async () => {
    await using upstream = new IdListUpstream();
    upstream.put("secret-lists", "list", "+12345678\n");
    const folder = newFolder();
    {
      await using relay = await IdListRelay.start({ upstream, folder, cache: "local" });
      await relay.manifest("secret-lists");
    }
    const values = { "maximum-concurrent-sdk-keys": "1", "unknown-key-rate-per-s": "1" };
    await using relay = await IdListRelay.start({ upstream, folder, cache: "local", values });
    const asked = upstream.manifestsAsked("secret-lists");
    for (let times = 0; times < 3; times++) await failureOf(relay.manifest(createUnknownKey()));
    expect(Object.keys(await relay.manifest("secret-lists"))).toEqual(["list"]);
    expect(upstream.manifestsAsked("secret-lists")).toBe(asked);
  });
});
