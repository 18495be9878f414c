import { afterAll, beforeAll, expect } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { OriginalEntries } from "../support/drop-in/original-entries.ts";
import { testRows } from "../support/drop-in/row.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import type { SdkProcess } from "../support/sdks/sdk-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { type Revision, revision } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";
import { SDK_ROWS, type SdkRow, type SdkSource } from "./sdks.rows.ts";

/** Nothing listens at this address, so an SDK can only get its config from Redis. */
const NOWHERE = "http://127.0.0.1:9";

/** Differs in the first 20 characters, as 4.x keys require. */
const keyOf = (row: SdkRow): string =>
  `secret-${String(SDK_ROWS.indexOf(row)).padStart(2, "0")}-of-${row.sdk}`;

/** The number of the revision that an SDK evaluates at its start. The relay takes over with revision 2. */
const firstOf = (source: SdkSource): number =>
  source === "proto-entry" || source === "abandoned-proto-entry" ? 1 : 0;

describeWith("redis-server", "node")(
  "SDKs on a Redis that the original wrote, and on a relay in its place",
  () => {
    const sdks = new Map<SdkRow, SdkProcess>();
    const seenAtStart = new Map<SdkRow, unknown>();
    let redis: RedisServer;
    let upstream: Upstream;
    let relay: RelayProcess;

    const publish = (row: SdkRow, number: number) => {
      upstream.publish(keyOf(row), "v1", specV1(revision(keyOf(row), number)));
      upstream.publish(keyOf(row), "v2", specV2(revision(keyOf(row), number)));
    };

    const startSdk = async (row: SdkRow, serving?: RelayProcess) => {
      const sdk = await (serving === undefined ? startPassive(row, redis.port) : startActive(row, serving));
      sdks.set(row, sdk);
      seenAtStart.set(row, await seenBy(sdk));
    };

    beforeAll(async () => {
      [redis, upstream] = await Promise.all([RedisServer.start(), startUpstream()]);
      await Promise.all(SDK_ROWS.map((row) => writeAsOriginal(redis, row)));
      // Without a relay, what these SDKs evaluate can only be what the original wrote.
      await Promise.all(SDK_ROWS.filter(isPassive).map((row) => startSdk(row)));
      for (const row of SDK_ROWS) publish(row, firstOf(row.source));
      relay = await startRelayProcess({
        upstream,
        cache: "redis",
        args: ["--redis-key-schema", "v4,v3", "--preload-sdk-keys", SDK_ROWS.map(keyOf).join(",")],
        env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
      });
      await Promise.all(SDK_ROWS.filter((row) => !isPassive(row)).map((row) => startSdk(row, relay)));
      for (const row of SDK_ROWS) publish(row, 2);
    }, 60_000);

    afterAll(async () => {
      await Promise.all([...sdks.values()].map((sdk) => sdk[Symbol.asyncDispose]()));
      for (const each of [relay, upstream, redis]) await each?.[Symbol.asyncDispose]();
    });

    testRows(SDK_ROWS, async (row) => {
      expect(seenAtStart.get(row)).toEqual(evaluated(revision(keyOf(row), firstOf(row.source))));
      const expected = evaluated(revision(keyOf(row), 2));
      const sdk = sdks.get(row);
      if (sdk === undefined) throw new Error(`no SDK runs for ${row.name}`);
      await eventually(async () => expect(await seenBy(sdk)).toEqual(expected), { withinMs: 20_000 });
    });
  },
);

const evaluated = ({ gateValue, color }: Revision) => ({ gate: gateValue, color });

async function seenBy(sdk: SdkProcess) {
  const [gate, config] = [await sdk.gate("gate_public"), await sdk.config("config_public")];
  return { gate: gate.value, color: config.value["color"] };
}

async function writeAsOriginal(redis: RedisServer, row: SdkRow): Promise<void> {
  const entries = new OriginalEntries(redis, keyOf(row));
  const first = revision(keyOf(row), 0);
  const second = revision(keyOf(row), 1);
  if (row.source === "v3-entry" || row.source === "v4-entry") {
    const schema = row.source === "v3-entry" ? "v3" : "v4";
    await entries.write({ schema, version: "v1", lcut: first.lcut, config: JSON.stringify(specV1(first)) });
    await entries.write({ schema, version: "v2", lcut: first.lcut, config: JSON.stringify(specV2(first)) });
  }
  if (row.source === "proto-entry" || row.source === "abandoned-proto-entry") {
    const [proto, json] = row.source === "proto-entry" ? [second, first] : [first, second];
    await entries.writeProto({ schema: "v4", version: "v2", lcut: proto.lcut, config: specProto(proto) });
    await entries.write({
      schema: "v4",
      version: "v2",
      lcut: json.lcut,
      config: JSON.stringify(specV2(json)),
    });
  }
}

const isPassive = ({ source }: SdkRow): boolean => source.endsWith("-entry");

function startPassive(row: SdkRow, redisPort: number): Promise<SdkProcess> {
  const common = { sdkKey: keyOf(row), httpUrl: NOWHERE };
  const redisUrl = `redis://127.0.0.1:${redisPort}`;
  if (row.sdk === "statsig-node") {
    return startLegacySdk({ ...common, options: { redisUrl, initStrategyForIDLists: "lazy" } });
  }
  return startCoreSdk({
    ...common,
    options: {
      redisUrl,
      initTimeoutMs: 20_000,
      specAdaptersConfig: [{ adapterType: "data_store", initTimeoutMs: 15_000 }],
      disableNetwork: true,
      ...(row.source !== "v3-entry" && { dataStoreKeySchemaVersion: "v3" }),
    },
  });
}

function startActive(row: SdkRow, { httpUrl, grpcUrl }: RelayProcess): Promise<SdkProcess> {
  const sdkKey = keyOf(row);
  if (row.sdk === "statsig-node") return startLegacySdk({ sdkKey, httpUrl });
  if (row.source === "grpc-stream") return startCoreSdk({ sdkKey, httpUrl: NOWHERE, grpcUrl });
  const slash = row.source === "http-with-trailing-slash" ? "/" : "";
  const specsUrl = `${httpUrl}/v2/download_config_specs${slash}`;
  return startCoreSdk({ sdkKey, httpUrl, options: { specsUrl } });
}
