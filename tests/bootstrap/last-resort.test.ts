import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { specsOf } from "../support/relay/access.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { type RelayOptions, startRelayProcess } from "../support/relay/relay-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-last-resort";
const LCUT = 1_700_000_000_000;

const withFiles = (folder: SpecFolder, options: RelayOptions): RelayOptions => ({
  ...options,
  args: ["--bootstrap-path", folder.path, ...(options.args ?? [])],
});

interface Served {
  readonly status: number;
  readonly lcut: number;
  readonly source: string | null;
}

async function served(response: Promise<Response>): Promise<Served> {
  const { status, headers } = await response;
  return { status, lcut: Number(headers.get("x-since-time")), source: headers.get("x-sfp-source") };
}

describe("a file is the last resort", () => {
  test("upstream fails: the file is served, and upstream's version takes its place", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT, sdkKey: KEY, gateValue: false }));
    folder.write("v1.json", specV1({ lcut: LCUT, sdkKey: KEY }));
    await upstream.stop();
    await using relay = await startRelayProcess(withFiles(folder, { upstream }));
    expect(await served(specsOf(relay, KEY))).toEqual({ status: 200, lcut: LCUT, source: "bootstrap" });
    expect(await served(specsOf(relay, KEY, "v1"))).toEqual({ status: 200, lcut: LCUT, source: "bootstrap" });
    expect((await specsOf(relay, "secret-other")).status).toBe(503);
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    expect((await stream.next()).lastUpdated).toBe(LCUT);
    // A newer file is served as long as upstream fails.
    folder.write("v2.json", specV2({ lcut: LCUT + 1, sdkKey: KEY, gateValue: false }));
    expect((await stream.next(20_000)).lastUpdated).toBe(LCUT + 1);
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT + 2, sdkKey: KEY }));
    await upstream.restart();
    expect((await stream.next(20_000)).lastUpdated).toBe(LCUT + 2);
    // Another thread serves HTTP, and gets the version at about the same time.
    await eventually(async () =>
      expect(await served(specsOf(relay, KEY))).toMatchObject({ lcut: LCUT + 2, source: "upstream" }),
    );
    folder.replace("v2.json", specV2({ lcut: LCUT + 9, sdkKey: KEY }));
    await eventually(() => expect(relay.output().match(/bootstrap files read/g)?.length).toBe(3));
    expect(await served(specsOf(relay, KEY))).toMatchObject({ lcut: LCUT + 2, source: "upstream" });
  });

  test("upstream's version with the same time takes the place of the file, without a checksum as well", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT, sdkKey: KEY, gateValue: false }));
    await upstream.stop();
    await using relay = await startRelayProcess(withFiles(folder, { upstream }));
    const edited = await (await specsOf(relay, KEY)).text();
    const real = specV2({ lcut: LCUT, sdkKey: KEY, gateValue: true });
    upstream.publish(KEY, "v2", real);
    await upstream.restart();
    await eventually(
      async () => expect(await served(specsOf(relay, KEY))).toMatchObject({ lcut: LCUT, source: "upstream" }),
      { withinMs: 20_000 },
    );
    const text = await (await specsOf(relay, KEY)).text();
    expect(text).toBe(JSON.stringify(real));
    expect(text).not.toBe(edited);
  });

  test("an upstream that hangs counts as failing after a few seconds", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    upstream.misbehave({ kind: "hang" });
    await using relay = await startRelayProcess(withFiles(folder, { upstream }));
    // Before a request to upstream is over, clients would get an error.
    expect(await served(specsOf(relay, KEY))).toMatchObject({ status: 200, source: "bootstrap" });
  });

  test("an upstream that responds is never overridden", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT + 9, sdkKey: KEY }));
    folder.write("other.json", specV2({ lcut: LCUT + 9, sdkKey: "secret-revoked" }));
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
    await using relay = await startRelayProcess(withFiles(folder, { upstream }));
    expect(await served(specsOf(relay, KEY))).toEqual({ status: 200, lcut: LCUT, source: "upstream" });
    expect((await specsOf(relay, "secret-revoked")).status).toBe(401);
  });

  test("a key that upstream rejects once it is back loses what a file had for it", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("all.json", specV2({ lcut: LCUT }));
    await upstream.stop();
    await using relay = await startRelayProcess(withFiles(folder, { upstream }));
    expect((await specsOf(relay, "secret-made-up")).status).toBe(200);
    await upstream.restart();
    await eventually(async () => expect((await specsOf(relay, "secret-made-up")).status).toBe(401), {
      withinMs: 20_000,
    });
  });

  test("a pinned key that is served from a file: upstream is asked for news alone, and its 401 takes nothing away", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    await upstream.stop();
    await using relay = await startRelayProcess(
      withFiles(folder, { upstream, args: ["--pin", `${KEY}=${LCUT}`] }),
    );
    expect(await served(specsOf(relay, KEY))).toMatchObject({ lcut: LCUT, source: "bootstrap" });
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT + 1, sdkKey: KEY }));
    await upstream.restart();
    // Upstream has accepted the key: what was held back is not sent again.
    await eventually(
      () =>
        expect(upstream.requests.some(({ query }) => query.get("sinceTime") === `${LCUT + 1}`)).toBe(true),
      { withinMs: 20_000 },
    );
    upstream.forget(KEY);
    await eventually(() => expect(relay.output()).toContain("cause=unauthorized"), { withinMs: 20_000 });
    expect(await served(specsOf(relay, KEY))).toMatchObject({ status: 200, lcut: LCUT, source: "bootstrap" });
  });

  test("a file with a later time than upstream's version stays until upstream has a later one", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT + 5, sdkKey: KEY }));
    await upstream.stop();
    await using relay = await startRelayProcess(withFiles(folder, { upstream }));
    expect(await served(specsOf(relay, KEY))).toMatchObject({ lcut: LCUT + 5, source: "bootstrap" });
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
    await upstream.restart();
    await eventually(() => expect(upstream.count(/v2/)).toBeGreaterThan(1), { withinMs: 20_000 });
    expect(await served(specsOf(relay, KEY))).toMatchObject({ lcut: LCUT + 5, source: "bootstrap" });
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT + 6, sdkKey: KEY }));
    await eventually(
      async () =>
        expect(await served(specsOf(relay, KEY))).toMatchObject({ lcut: LCUT + 6, source: "upstream" }),
      { withinMs: 20_000 },
    );
  });

  test("the backup goes before the file, and never gets what a file has", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT + 9, sdkKey: KEY }));
    folder.write("v1.json", specV1({ lcut: LCUT + 9, sdkKey: KEY }));
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
    const options = withFiles(folder, {
      upstream,
      cache: "redis",
      env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
    });
    {
      await using first = await startRelayProcess(options);
      expect(await served(specsOf(first, KEY))).toMatchObject({ lcut: LCUT, source: "upstream" });
      expect(await first.stop()).toBe(0);
    }
    await upstream.stop();
    const before = await redis.cli("DBSIZE");
    await using second = await startRelayProcess(options);
    expect(await served(specsOf(second, KEY))).toMatchObject({ lcut: LCUT, source: "redis" });
    expect(await served(specsOf(second, KEY, "v1"))).toMatchObject({ lcut: LCUT + 9, source: "bootstrap" });
    expect(await second.stop()).toBe(0);
    expect(await redis.cli("DBSIZE")).toBe(before);
  });

  test("a relay behind learns that the version is from a file", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    folder.write("v2.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    await upstream.stop();
    await using first = await startRelayProcess(withFiles(folder, { upstream }));
    await using behind = await startRelayProcess({ env: { STATSIG_ENDPOINT: first.httpUrl } });
    expect(await served(specsOf(behind, KEY))).toEqual({ status: 200, lcut: LCUT, source: "bootstrap" });
  });

  test("a folder that is missing or empty keeps no relay from starting, and is a problem until it has files", async () => {
    await using upstream = await startUpstream();
    const parent = mkdtempSync(join(tmpdir(), "sfp-bootstrap-"));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rmSync(parent, { recursive: true }));
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
    const args = ["--bootstrap-path", join(parent, "none")];
    await using managed = await startManagedRelay({ upstream, args });
    await eventually(() => expect(managed.relay.output()).toContain("bootstrap files cannot be read"));
    expect(await served(specsOf(managed.relay, KEY))).toMatchObject({ status: 200, source: "upstream" });
    expect((await managed.get("/readyz")).status).toBe(200);
    expect((await managed.status()).problems.map(({ kind }) => kind)).toEqual(["bootstrap_unusable"]);
  });

  test("many requests for many feeds read each file once", async () => {
    await using upstream = await startUpstream();
    using folder = new SpecFolder();
    const keys = Array.from({ length: 20 }, (_, at) => `${KEY}-${at}`);
    for (const sdkKey of keys)
      folder.write(`${sdkKey.length}-${sdkKey.slice(-2)}.json`, specV2({ lcut: LCUT, sdkKey }));
    await upstream.stop();
    await using relay = await startRelayProcess(withFiles(folder, { upstream }));
    const asked = keys.flatMap((sdkKey) => [specsOf(relay, sdkKey), specsOf(relay, sdkKey)]);
    for (const each of await Promise.all(asked.map(served))) {
      expect(each).toMatchObject({ status: 200, source: "bootstrap" });
    }
    await eventually(() => expect(relay.output().match(/config specs loaded/g)).toHaveLength(keys.length));
  });
});
