import { beforeAll, describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { GET_CONFIG_SPEC, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const PROTO = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };
const shared = shareRelay();
let key: PublishedKey;
beforeAll(() => {
  key = publishKey(shared.upstream, "secret-origin");
});

interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: string;
}

/** The status, and the headers that say where the version came from. */
async function ask(
  url: string,
  sdkKey: string,
  { method = "GET", headers = {}, query = "", body }: Asking = {},
) {
  const path = `/v2/download_config_specs/${sdkKey}.json${query}`;
  const options = { method, headers: Object.entries(headers), ...(body !== undefined && { body }) };
  const answer = await rawHttp(`${url}${path}`, options);
  return { status: answer.status, etag: String(answer.headers.etag), ...originIn(answer.headers) };
}

function originIn(headers: Readonly<Record<string, unknown>>) {
  return { source: headers["x-sfp-source"], confirmedAt: headers["x-sfp-confirmed-at"] };
}

/** A recently confirmed origin: the relays of these tests poll every second, or some seconds later on a busy machine. */
const fromUpstream = (origin: { readonly source: unknown; readonly confirmedAt: unknown }) => {
  expect(origin.source).toBe("upstream");
  expect(origin.confirmedAt).toMatch(RFC_3339);
  expect(Date.now() - Date.parse(String(origin.confirmedAt))).toBeWithin(0, 15_000);
};

describe("every HTTP response with a spec has its source, and when upstream last confirmed it", () => {
  test.each([
    ["GET", {}, 200],
    ["GET with a coding", { headers: { "accept-encoding": "zstd" } }, 200],
    ["GET of protobuf", { headers: PROTO }, 200],
    ["HEAD", { method: "HEAD" }, 200],
    ["POST", { method: "POST", body: "{}" }, 200],
    ["no update", { query: "?sinceTime=9999999999999" }, 200],
    ["no update by POST", { method: "POST", body: '{"sinceTime":9999999999999}' }, 200],
    ["no update by HEAD", { method: "HEAD", query: "?sinceTime=9999999999999" }, 200],
    ["304", { headers: { "if-none-match": "*" } }, 304],
  ] as const)("%s", async (_, asking, status) => {
    const answer = await ask(shared.relay.httpUrl, key.sdkKey, asking);
    expect(answer.status).toBe(status);
    fromUpstream(answer);
  });

  test.each([
    ["specs", {}],
    ["304", { headers: { "if-none-match": "*" } }],
    ["no update", { query: "?sinceTime=9999999999999" }],
    ["HEAD", { method: "HEAD" }],
    ["protobuf", { headers: PROTO }],
  ] as const)("with each poll that brings no new version it moves on: %s", async (_, asking) => {
    const first = await ask(shared.relay.httpUrl, key.sdkKey, asking);
    const later = await eventually(async () => {
      const answer = await ask(shared.relay.httpUrl, key.sdkKey, asking);
      expect(answer.confirmedAt).not.toBe(first.confirmedAt);
      return answer;
    });
    fromUpstream(later);
    expect(later.etag).toBe(first.etag);
    expect(Date.parse(String(later.confirmedAt))).toBeGreaterThan(Date.parse(String(first.confirmedAt)));
  });

  test("is the same between two polls: it is prepared, not formatted per request", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-origin-still");
    await using relay = await startRelayProcess({ upstream, pollIntervalS: 60 });
    const first = await ask(relay.httpUrl, sdkKey);
    await sleep(50);
    expect(await ask(relay.httpUrl, sdkKey)).toEqual(first);
  });

  test("stays the same while upstream is down", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-origin-away");
    await using relay = await startRelayProcess({ upstream });
    fromUpstream(await ask(relay.httpUrl, sdkKey));
    await upstream.stop();
    await eventually(() => expect(relay.output()).toContain("upstream failing"));
    const stale = await ask(relay.httpUrl, sdkKey);
    await sleep(1_500);
    expect(await ask(relay.httpUrl, sdkKey)).toEqual(stale);
  });

  test("is missing in responses without a spec", async () => {
    const answer = await ask(shared.relay.httpUrl, "secret-origin-unknown");
    expect(answer).toMatchObject({ status: 401, source: undefined, confirmedAt: undefined });
  });
});

describe("every RPC with a spec has it in its headers", () => {
  test("getConfigSpec over gRPC, and with no update", async () => {
    using client = new GrpcClient(shared.relay.grpcUrl);
    for (const sinceTime of [0, 9_999_999_999_999]) {
      const { metadata } = await client.getConfigSpec({ sdkKey: key.sdkKey, version: 2, sinceTime });
      fromUpstream(originIn(metadata.getMap()));
    }
  });

  test("StreamConfigSpec over gRPC, as of its start", async () => {
    using client = new GrpcClient(shared.relay.grpcUrl);
    for (const sinceTime of [0, 9_999_999_999_999]) {
      using stream = client.streamConfigSpec({ sdkKey: key.sdkKey, version: 2, sinceTime });
      await stream.next();
      fromUpstream(originIn((await stream.metadata()).getMap()));
    }
  });

  test("advancing from call to call", async () => {
    using client = new GrpcClient(shared.relay.grpcUrl);
    const confirmedAt = async () => {
      const { metadata } = await client.getConfigSpec({ sdkKey: key.sdkKey, version: 2 });
      return String(metadata.get("x-sfp-confirmed-at"));
    };
    const first = await confirmedAt();
    await eventually(async () => expect(Date.parse(await confirmedAt())).toBeGreaterThan(Date.parse(first)));
  });

  const message = () => encodeRequest({ sdkKey: key.sdkKey, version: 2 });
  test.each([
    ["getConfigSpec over gRPC-Web", GET_CONFIG_SPEC, "application/grpc-web+proto", () => rpcFrame(message())],
    ["getConfigSpec over Connect", GET_CONFIG_SPEC, "application/proto", message],
  ] as const)("%s", async (_, path, type, body) => {
    using client = new H2cClient(shared.relay.grpcUrl);
    fromUpstream(originIn((await client.post(path, { "content-type": type }, body())).headers));
    const onHttp = await fetch(`${shared.relay.httpUrl}${path}`, {
      method: "POST",
      headers: { "content-type": type },
      body: new Uint8Array(body()),
    });
    fromUpstream(originIn(Object.fromEntries(onHttp.headers)));
    await onHttp.body?.cancel();
  });

  test.each(["application/grpc-web+proto", "application/connect+proto"])(
    "StreamConfigSpec as %s",
    async (type) => {
      const response = await fetch(`${shared.relay.httpUrl}${STREAM_CONFIG_SPEC}`, {
        method: "POST",
        headers: { "content-type": type },
        body: new Uint8Array(rpcFrame(message())),
      });
      fromUpstream(originIn(Object.fromEntries(response.headers)));
      await response.body?.cancel();
    },
  );

  test("except RPCs that end with an error", async () => {
    using client = new H2cClient(shared.relay.grpcUrl);
    const body = encodeRequest({ sdkKey: "secret-origin-unknown", version: 2 });
    const { status, headers } = await client.post(
      GET_CONFIG_SPEC,
      { "content-type": "application/proto" },
      body,
    );
    expect([status, originIn(headers)]).toEqual([403, { source: undefined, confirmedAt: undefined }]);
  });
});
