import { describe, expect, test } from "bun:test";
import { version as relayVersion } from "../../package.json";
import { readConfig } from "../../src/config/config.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { type ForwardedBatch, startEventRelay } from "../support/log-events/event-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { forKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";
import { answer, type UpstreamRequest } from "../support/upstream/upstream-request.ts";

const protoHeaders = { "accept-encoding": "statsig-br, gzip", "statsig-supports-proto": "true" };
const PATIENT = { withinMs: 15_000 };
const shared = shareRelay();

const ask = (sdkKey: string, version: "v1" | "v2", headers: Readonly<Record<string, string>> = {}) =>
  rawGet(`${shared.relay.httpUrl}/${version}/download_config_specs/${sdkKey}.json`, headers);

/** The first `count` requests that upstream received for a key. */
const requestsFor = (upstream: Upstream, sdkKey: string, count: number): Promise<UpstreamRequest[]> =>
  eventually(() => {
    const seen = upstream.requests.filter(({ path }) => path.endsWith(`/${sdkKey}.json`));
    expect(seen.length).toBeGreaterThanOrEqual(count);
    return seen.slice(0, count);
  }, PATIENT);

const codingsIn = ({ headers }: UpstreamRequest): string[] =>
  String(headers["accept-encoding"])
    .split(",")
    .map((each) => each.trim());

describe.concurrent("Upstream requests: the relay sends", () => {
  test.each(["v1", "v2"] as const)(
    "GET {STATSIG_ENDPOINT}/%s/download_config_specs/{key}.json, x-sfp-version, later with sinceTime=lcut and the checksum",
    async (version) => {
      const sdkKey = `secret-json-${version}`;
      const { lcut, [version]: text } = publishKey(shared.upstream, sdkKey);
      await ask(sdkKey, version, { "accept-encoding": "statsig-br, gzip" });
      const [first, ...later] = await requestsFor(shared.upstream, sdkKey, 3);
      expect(first?.url).toBe(`/${version}/download_config_specs/${sdkKey}.json`);
      for (const request of later) {
        const query = `sinceTime=${lcut}&checksum=${JSON.parse(text).checksum}`;
        expect(request.url).toBe(`/${version}/download_config_specs/${sdkKey}.json?${query}`);
      }
      for (const request of [...(first ? [first] : []), ...later]) {
        expect([request.method, request.body.byteLength]).toEqual(["GET", 0]);
        expect(request.headers["x-sfp-version"]).toBe(relayVersion);
        expect(request.headers["statsig-supports-proto"]).toBeUndefined();
        expect(codingsIn(request)).toContain("gzip");
        expect(codingsIn(request)).not.toContain("statsig-br");
      }
    },
  );

  test("for protobuf also supports_proto=true, statsig-supports-proto: true, and statsig-br in Accept-Encoding", async () => {
    const sdkKey = "secret-asked-as-proto";
    const { lcut } = publishKey(shared.upstream, sdkKey);
    await ask(sdkKey, "v2", protoHeaders);
    const requests = await requestsFor(shared.upstream, sdkKey, 3);
    for (const [at, request] of requests.entries()) {
      expect([request.method, request.path]).toEqual(["GET", `/v2/download_config_specs/${sdkKey}.json`]);
      expect(request.query.getAll("supports_proto")).toEqual(["true"]);
      expect(request.query.getAll("sinceTime")).toEqual(at === 0 ? [] : [String(lcut)]);
      expect(request.headers["statsig-supports-proto"]).toBe("true");
      expect(request.headers["x-sfp-version"]).toBe(relayVersion);
      expect(codingsIn(request)).toContain("statsig-br");
    }
  });

  test("the lcut of the cached version as sinceTime, also after an update", async () => {
    const sdkKey = "secret-since-follows";
    publishKey(shared.upstream, sdkKey);
    await ask(sdkKey, "v1");
    const { lcut } = publishKey(shared.upstream, sdkKey, 1);
    await eventually(() => {
      const last = shared.upstream.requests.findLast(({ path }) => path.includes(sdkKey));
      expect(last?.query.get("sinceTime")).toBe(String(lcut));
    }, PATIENT);
  });

  test("no checksum if the cached version has none", async () => {
    const sdkKey = "secret-no-checksum";
    const { lcut, v1 } = publishKey(shared.upstream, sdkKey);
    shared.upstream.publish(sdkKey, "v1", { ...JSON.parse(v1), checksum: undefined }, lcut);
    await ask(sdkKey, "v1");
    const [, second] = await requestsFor(shared.upstream, sdkKey, 2);
    expect(second?.url).toEndWith(`?sinceTime=${lcut}`);
  });

  test.each(["/", "/some/prefix", "/some/prefix/"])(
    "requests to the right path if STATSIG_ENDPOINT ends in %p",
    async (ending) => {
      await using upstream = await startUpstream();
      await using relay = await startRelayProcess({ env: { STATSIG_ENDPOINT: `${upstream.url}${ending}` } });
      await rawGet(`${relay.httpUrl}/v1/download_config_specs/secret-prefix.json`);
      const path = `${ending.replace(/\/$/, "")}/v1/download_config_specs/secret-prefix.json`;
      expect(upstream.requests[0]?.url).toBe(path);
    },
  );

  test("requests over pooled connections", async () => {
    const sdkKey = "secret-pooled";
    publishKey(shared.upstream, sdkKey);
    await ask(sdkKey, "v1");
    await requestsFor(shared.upstream, sdkKey, 4);
    // Those of the other tests too: several connections are in use, and any of them may carry the next request.
    const ports = shared.upstream.requests.map(({ clientPort }) => clientPort);
    expect(new Set(ports).size).toBeLessThan(ports.length);
  });

  // The responses are tested with ID lists and log events.
  test("ID lists: POST https://api.statsigcdn.com/v1/get_id_lists, or to STATSIG_ENDPOINT", async () => {
    const given = { mode: "http", cache: "disabled", values: new Map() };
    expect(readConfig(given, {}).upstreamUrl).toBe("https://api.statsigcdn.com");
    await rawGet(`${shared.relay.httpUrl}/v1/get_id_lists/secret-lists.json`);
    const seen = shared.upstream.requests.filter(({ path }) => path === "/v1/get_id_lists");
    expect(seen).toMatchObject([
      { method: "POST", headers: { "statsig-api-key": "secret-lists", "x-sfp-version": relayVersion } },
    ]);
  });
  test("events: POST {LOG_EVENT_STATSIG_ENDPOINT}/v1/log_event, key in the header, statsig-event-count", async () => {
    await using specs = await startUpstream();
    await using setup = await startEventRelay({ env: { STATSIG_ENDPOINT: specs.url } });
    const events = [{ eventName: "a" }, { eventName: "b" }];
    await setup.post("secret-wire-2", { events, statsigMetadata: { sdkType: "t" } });
    await eventually(() => expect(setup.forwarded()).toHaveLength(1), PATIENT);
    const [{ request, ...batch }] = setup.forwarded() as [ForwardedBatch];
    expect([request.method, request.url]).toEqual(["POST", "/v1/log_event"]);
    expect(request.headers).toMatchObject({
      "statsig-api-key": "secret-wire-2",
      "statsig-event-count": "2",
      "x-sfp-version": relayVersion,
    });
    expect(batch).toMatchObject({ events, metadata: { sdkType: "t" } });
    // STATSIG_ENDPOINT does not change where log events are sent.
    expect(specs.count("/v1/log_event")).toBe(0);
  });
});

describe.concurrent("Upstream requests: the lcut", () => {
  const { lcut: bodyTime } = versionOf("");
  const publishWith = (sdkKey: string, sinceTimeHeader: string | undefined, body: object): void => {
    const headers = {
      "content-type": "application/json",
      ...(sinceTimeHeader !== undefined && { "x-since-time": sinceTimeHeader }),
    };
    shared.upstream.misbehave(
      { kind: "edit", edit: () => answer(200, JSON.stringify(body), headers) },
      forKey(sdkKey),
    );
  };

  test("is x-since-time, not the body's time", async () => {
    const sdkKey = "secret-lcut-header";
    publishWith(sdkKey, String(bodyTime + 5), specV2({ lcut: bodyTime }));
    expect((await ask(sdkKey, "v2")).headers["x-since-time"]).toBe(String(bodyTime + 5));
    const [, second] = await requestsFor(shared.upstream, sdkKey, 2);
    expect(second?.query.get("sinceTime")).toBe(String(bodyTime + 5));
  });

  test.each([undefined, "", "soon", "-1", "1.5", "NaN", "1e12x", "99999999999999999999"])(
    "is the body's time where x-since-time is %p: missing or no number",
    async (header) => {
      const sdkKey = `secret-lcut-${String(header).replace(/\W/g, "-")}-body`;
      publishWith(sdkKey, header, specV1({ lcut: bodyTime }));
      const got = await ask(sdkKey, "v1");
      expect([got.status, got.headers["x-since-time"]]).toEqual([200, String(bodyTime)]);
    },
  );

  test("of protobuf is x-since-time, or else the time in TOP_LEVEL", async () => {
    const { lcut, proto } = versionOf("secret-lcut-proto");
    const headers = { "content-type": "application/octet-stream", "content-encoding": "statsig-br" };
    for (const [sdkKey, extra, expected] of [
      ["secret-lcut-proto", {}, lcut],
      ["secret-lcut-proto", { "x-since-time": String(lcut + 7) }, lcut + 7],
    ] as const) {
      const edit = () => answer(200, proto, { ...headers, ...extra });
      shared.upstream.misbehave({ kind: "edit", edit }, forKey(sdkKey));
      await eventually(async () => {
        expect((await ask(sdkKey, "v2", protoHeaders)).headers["x-since-time"]).toBe(String(expected));
      }, PATIENT);
    }
  });

  test("is required: a payload without one is refused", async () => {
    const { time: _, ...timeless } = specV2({ lcut: bodyTime });
    publishWith("secret-lcut-nowhere", undefined, timeless);
    expect((await ask("secret-lcut-nowhere", "v2")).status).toBe(503);
  });
});
