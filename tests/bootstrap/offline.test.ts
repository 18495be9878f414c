import { describe, expect, test } from "bun:test";
import { maskSdkKey, type SdkKey } from "../../src/access/sdk-key.ts";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { idListsOf, sendEvents, specsOf } from "../support/relay/access.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startOperatedRelay } from "../support/relay/operated-relay.ts";
import { type RelayOptions, runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { OutboundProxy } from "../support/upstream/outbound-proxy.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { startUpstream } from "../support/upstream/upstream.ts";
import { answer, jsonAnswer } from "../support/upstream/upstream-request.ts";

const KEY = "secret-offline";
const LCUT = 1_700_000_000_000;

const offline = (folder: SpecFolder, options: RelayOptions = {}): RelayOptions => ({
  ...options,
  args: ["--offline", "--bootstrap-path", folder.path, ...(options.args ?? [])],
});

async function lcutOf(response: Promise<Response>): Promise<number> {
  const { status, headers } = await response;
  expect(status).toBe(200);
  return Number(headers.get("x-since-time"));
}

describe("offline", () => {
  test("serves v1, v2 and protobuf from files, each to its own SDK key", async () => {
    using folder = new SpecFolder();
    folder.write("a.json", specV1({ lcut: LCUT, sdkKey: KEY }));
    folder.write("b.json", specV2({ lcut: LCUT + 1, sdkKey: KEY }));
    folder.write("c.statsig-br", specProto({ lcut: LCUT + 2, sdkKey: KEY }));
    folder.write("older.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    folder.write("d.json", specV2({ lcut: LCUT + 3, sdkKey: "secret-other" }));
    folder.write("README.md", "not a config spec");
    await using relay = await startRelayProcess(offline(folder));
    expect(await lcutOf(specsOf(relay, KEY, "v1"))).toBe(LCUT);
    const v2 = await specsOf(relay, KEY, "v2");
    expect(v2.headers.get("x-sfp-source")).toBe("bootstrap");
    expect(v2.headers.get("x-sfp-confirmed-at")).toBeNull();
    expect(await v2.json()).toMatchObject({ time: LCUT + 1 });
    const proto = await fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json?supports_proto=true`, {
      headers: { "accept-encoding": "statsig-br" },
    });
    expect(proto.headers.get("content-encoding")).toBe("statsig-br");
    expect(proto.headers.get("x-since-time")).toBe(String(LCUT + 2));
    expect(await lcutOf(specsOf(relay, "secret-other"))).toBe(LCUT + 3);
    expect((await specsOf(relay, "secret-unknown")).status).toBe(503);
    await eventually(() =>
      expect(relay.output()).toContain("no bootstrap file for this SDK key, no config to serve"),
    );
    expect(relay.output()).not.toContain("unusable file");
  });

  test("a client of protobuf gets JSON if there is no other file", async () => {
    using folder = new SpecFolder();
    folder.write("a.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    await using relay = await startRelayProcess(offline(folder));
    const response = await fetch(`${relay.httpUrl}/v2/download_config_specs/${KEY}.json?supports_proto=true`);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toMatchObject({ time: LCUT });
  });

  test("a changed file reaches polls and streams, whether it is written in place, renamed or mounted", async () => {
    using folder = new SpecFolder();
    folder.mount({ "specs.json": specV2({ lcut: LCUT, sdkKey: KEY }) });
    await using relay = await startRelayProcess(offline(folder));
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    expect((await stream.next()).lastUpdated).toBe(LCUT);
    folder.mount({ "specs.json": specV2({ lcut: LCUT + 1, sdkKey: KEY }) });
    expect((await stream.next(20_000)).lastUpdated).toBe(LCUT + 1);
    folder.write("more.json", specV2({ lcut: LCUT + 2, sdkKey: KEY }));
    expect((await stream.next(20_000)).lastUpdated).toBe(LCUT + 2);
    folder.replace("more.json", specV2({ lcut: LCUT + 3, sdkKey: KEY }));
    expect((await stream.next(20_000)).lastUpdated).toBe(LCUT + 3);
    // Another thread serves HTTP, and gets the version at about the same time.
    await eventually(async () => expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT + 3));
  });

  test("a bad update, an older one and a removal leave what is served", async () => {
    using folder = new SpecFolder();
    folder.write("specs.json", specV2({ lcut: LCUT + 5, sdkKey: KEY }));
    await using managed = await startManagedRelay(offline(folder));
    const { relay } = managed;
    expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT + 5);
    folder.write("specs.json", '{"time":');
    await eventually(() => expect(relay.output()).toContain("bootstrap file unusable"));
    await eventually(() => expect(relay.output()).toContain("file=specs.json"));
    expect((await managed.status()).problems.map(({ kind }) => kind)).toEqual(["bootstrap_unusable"]);
    folder.write("specs.json", specV2({ lcut: LCUT + 4, sdkKey: KEY }));
    await eventually(() => expect(relay.output()).toContain(`is older than ${LCUT + 5}, which is served`));
    folder.remove("specs.json");
    await eventually(async () =>
      expect((await managed.status()).bootstrap).toMatchObject({ files: 0, unusable_files: 0 }),
    );
    expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT + 5);
    expect((await managed.get("/readyz")).status).toBe(200);
    folder.write("specs.json", specV2({ lcut: LCUT + 6, sdkKey: KEY }));
    await eventually(async () => expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT + 6));
    expect((await managed.status()).state).toBe("ok");
  });

  test("a change without another time is served to new clients, with a warning", async () => {
    using folder = new SpecFolder();
    folder.write("specs.json", specV2({ lcut: LCUT, sdkKey: KEY, gateValue: true }));
    await using relay = await startRelayProcess(offline(folder));
    const first = await (await specsOf(relay, KEY)).text();
    folder.write("specs.json", specV2({ lcut: LCUT, sdkKey: KEY, gateValue: false }));
    await eventually(async () => expect(await (await specsOf(relay, KEY)).text()).not.toBe(first));
    await eventually(() => expect(relay.output()).toContain("bootstrap file changed without a later time"));
  });

  test("a new file for an SDK key that had none is served", async () => {
    using folder = new SpecFolder();
    folder.write("other.json", specV2({ lcut: LCUT, sdkKey: "secret-other" }));
    await using relay = await startRelayProcess(offline(folder, { args: ["--preload-sdk-keys", KEY] }));
    expect((await fetch(`${relay.httpUrl}/v1/ready`)).status).toBe(503);
    folder.write("specs.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    await eventually(async () => expect((await fetch(`${relay.httpUrl}/v1/ready`)).status).toBe(200));
    expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT);
  });

  test("a file without an SDK key serves every allowed key, and one that names the key goes first", async () => {
    using folder = new SpecFolder();
    folder.write("all.json", specV2({ lcut: LCUT + 9 }));
    folder.write("one.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    const args = ["--allowed-sdk-keys", `${KEY},secret-any`];
    await using relay = await startRelayProcess(offline(folder, { args }));
    expect(await lcutOf(specsOf(relay, "secret-any"))).toBe(LCUT + 9);
    expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT);
    expect((await specsOf(relay, "secret-not-allowed")).status).toBe(401);
    await eventually(() =>
      expect(relay.output()).toContain(
        "bootstrap file names no SDK key, every allowed key gets its config specs",
      ),
    );
  });

  test("SIGHUP reads the files again, and names all that are unusable", async () => {
    using folder = new SpecFolder();
    folder.write("a.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    folder.write("b.json", "Unauthorized");
    await using relay = await startRelayProcess(offline(folder));
    const lines = () => relay.output().split("bootstrap file unusable file=b.json").length - 1;
    await eventually(() => expect(lines()).toBe(1));
    relay.signal("SIGHUP");
    await eventually(() => expect(lines()).toBe(2));
  });

  test("sends no request to Statsig: config specs, ID lists and log events", async () => {
    await using upstream = await startUpstream();
    // Whatever the relay would send to Statsig's own hosts arrives here.
    await using proxy = await OutboundProxy.start();
    using folder = new SpecFolder();
    folder.write("specs.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    const env = { HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url, STATSIG_SERVER_SDK_KEY: KEY };
    const args = ["--statsig-logging", "--max-staleness-in-s", "2", "--pin", `${KEY}=${LCUT}`];
    await using managed = await startOperatedRelay(offline(folder, { upstream, env, args }));
    const { relay } = managed;
    expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT);
    expect((await specsOf(relay, "secret-unknown")).status).toBe(503);
    expect(await (await idListsOf(relay, KEY)).json()).toEqual({});
    const events = await sendEvents(relay, KEY);
    expect([events.status, await events.json()]).toEqual([202, { success: true, message: null }]);
    const file = await fetch(`${relay.httpUrl}/v1/download_id_list_file/some?k=${KEY}`);
    expect(file.status).toBe(404);
    for (const refused of [managed.order("/v1/pins"), managed.order("/v1/rollback", { key: KEY })])
      expect(await refused).toMatchObject({
        status: 409,
        body: { message: expect.stringContaining("Offline") },
      });
    const { relay: status, events: counts, problems } = await managed.status();
    expect(status.offline).toBe(true);
    expect(problems).toEqual([]);
    expect(counts).toMatchObject({ accepted: 1, dropped: 1, events: 0 });
    const metrics = (await managed.get("/metrics")).body.toString();
    expect(metrics).toContain('LogEventDropped_count_total{reason="offline"} 1');
    await eventually(() =>
      expect(relay.output()).toContain("offline, no request is sent to Statsig log_events=dropped"),
    );
    for (const setting of ["--max-staleness-in-s", "--pin", "--statsig-logging", "STATSIG_ENDPOINT"]) {
      await eventually(() =>
        expect(relay.output()).toContain(`setting has no effect setting=${setting} reason="offline`),
      );
    }
    expect((await managed.get("/readyz")).status).toBe(200);
    expect(upstream.requests).toEqual([]);
    expect(proxy.seen).toEqual([]);
  });

  test("forwards log events if LOG_EVENT_STATSIG_ENDPOINT says where to", async () => {
    await using events = await startUpstream();
    using folder = new SpecFolder();
    folder.write("specs.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    const env = { LOG_EVENT_STATSIG_ENDPOINT: events.url };
    await using relay = await startRelayProcess(offline(folder, { env }));
    expect((await sendEvents(relay, KEY)).status).toBe(202);
    await eventually(() => expect(events.count("/v1/log_event")).toBe(1));
    await eventually(() => expect(relay.output()).toContain(`log_events=${events.url}`));
  });

  test("the subcommand is the option, without MODE and CACHE", async () => {
    using folder = new SpecFolder();
    const path = folder.write("specs.json", specV2({ lcut: LCUT, sdkKey: KEY }));
    const ports = ["--http-port", "0", "--grpc-port", "0", "--bind-address", "127.0.0.1"];
    const args = ["offline", "--bootstrap-path", path, "--serving-threads", "1", ...ports];
    await using relay = await startRelayProcess({ isBare: true, args });
    expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT);
    expect(relay.output()).toContain("mode=grpc-and-http cache=disabled offline=true");
  });
});

/** Everything but how long it is kept. */
const contentsOf = (redis: RedisServer): Promise<string> =>
  redis.cli(
    "EVAL",
    "local all = {} for _, key in ipairs(redis.call('KEYS', 'statsig|*')) do " +
      "for _, field in ipairs(redis.call('HKEYS', key)) do " +
      "all[#all + 1] = key .. ' ' .. field .. ' ' .. redis.call('HGET', key, field) end end " +
      "table.sort(all) return table.concat(all, ', ')",
    "0",
  );

describe("offline with a backup", () => {
  test("serves the backup where no file is newer, and its ID lists, and writes nothing to it", async () => {
    await using upstream = await startUpstream();
    await using files = await startUpstream();
    await using redis = await RedisServer.start();
    using work = new SpecFolder();
    const list = { name: "list", url: `${files.url}/list`, fileID: "f", size: 10, creationTime: 1 };
    const manifest = jsonAnswer({ list });
    upstream.misbehave(
      { kind: "edit", edit: () => manifest },
      { when: ({ path }) => path.includes("id_lists") },
    );
    const lines = answer(200, "+aaaaaaaa\n", { "content-type": "text/plain" });
    files.misbehave({ kind: "edit", edit: () => lines });
    for (const sdkKey of [KEY, "secret-in-redis-alone"]) {
      upstream.publish(sdkKey, "v2", specV2({ lcut: LCUT, sdkKey }));
    }
    const options = {
      ...{ upstream, cache: "redis" as const, env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` } },
      args: ["--proxy-id-lists", "--local-cache-path", work.path],
    } as const;
    {
      await using online = await startRelayProcess(options);
      expect(await lcutOf(specsOf(online, KEY))).toBe(LCUT);
      expect(await lcutOf(specsOf(online, "secret-in-redis-alone"))).toBe(LCUT);
      await eventually(async () =>
        expect(await (await idListsOf(online, KEY)).json()).toMatchObject({ list: { size: 10 } }),
      );
      expect(await online.stop()).toBe(0);
    }
    for (const each of [upstream, files]) each.forgetRequests();
    const before = await contentsOf(redis);
    using folder = new SpecFolder();
    folder.write("newer.json", specV2({ lcut: LCUT + 1, sdkKey: KEY }));
    await using relay = await startRelayProcess(offline(folder, options));
    expect(await lcutOf(specsOf(relay, KEY))).toBe(LCUT + 1);
    const stored = await specsOf(relay, "secret-in-redis-alone");
    expect([stored.status, stored.headers.get("x-sfp-source")]).toEqual([200, "redis"]);
    const served = (await (await idListsOf(relay, KEY)).json()) as {
      readonly list: { readonly url: string };
    };
    expect(await (await fetch(served.list.url)).text()).toBe("+aaaaaaaa\n");
    expect(await (await idListsOf(relay, "secret-in-redis-alone")).json()).toEqual({});
    expect(await relay.stop()).toBe(0);
    expect(await contentsOf(redis)).toBe(before);
    expect([upstream.requests, files.requests]).toEqual([[], []]);
  });
});

describe("a start that has nothing to serve fails with one line", () => {
  test.each([
    ["a missing folder", () => "/there/is/none", "no such file or directory"],
    ["an empty folder", (folder: SpecFolder) => folder.path, "it has no *.json, *.json.gz, *.json.br"],
    [
      "a bad file",
      (folder: SpecFolder) => folder.write("a.json", "Unauthorized"),
      "a.json: it is not a JSON object; an error message may have been saved",
    ],
  ])("%s", async (_, pathOf, reason) => {
    using folder = new SpecFolder();
    const path = pathOf(folder);
    const { exitCode, stderr } = await runRelay(["offline", "--bootstrap-path", path, "http"]);
    expect(exitCode).toBe(1);
    expect(stderr).toStartWith(`error: nothing to serve offline in --bootstrap-path ${path}: ${reason}`);
  });

  test("as JSON if the log is", async () => {
    const args = ["offline", "--log-format", "json", "--bootstrap-path", "/there/is/none", "http"];
    const { exitCode, stderr } = await runRelay(args);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      level: "error",
      reason: expect.stringContaining("nothing to serve"),
    });
  });

  test("no path", async () => {
    const { exitCode, stderr } = await runRelay(["offline"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("--offline requires --bootstrap-path");
  });
});

test("no log line and no status shows a whole SDK key", async () => {
  using folder = new SpecFolder();
  folder.write("specs.json", specV2({ lcut: LCUT, sdkKey: KEY }));
  await using managed = await startManagedRelay(offline(folder));
  await specsOf(managed.relay, KEY);
  const shown = `${managed.relay.output()}${JSON.stringify(await managed.status())}`;
  expect(shown).toContain(maskSdkKey(KEY as SdkKey));
  expect(shown).not.toContain(KEY);
});
