import { beforeEach, describe, expect, test } from "bun:test";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { HealthWatch } from "../../src/grpc/health-watch.ts";
import { rpcRoutes } from "../../src/grpc/routes.ts";
import { SpecService } from "../../src/grpc/spec-service.ts";
import { WebStreams } from "../../src/grpc/web-streams.ts";
import { HttpHandler } from "../../src/http/handler.ts";
import { BodyBudget } from "../../src/http/request-body.ts";
import { toContent } from "../../src/http/response-content.ts";
import { openRpcCalls } from "../../src/http/routes/rpc-calls.ts";
import type { IdListSettings } from "../../src/id-lists/service.ts";
import type { LogEventService } from "../../src/log-events/intake.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { SharedBudget } from "../../src/platform/shared-budget.ts";
import { SharedCount } from "../../src/platform/shared-count.ts";
import { ThreadUnreachable } from "../../src/platform/thread-channel.ts";
import { InFlight } from "../../src/server/limits.ts";
import { MessageLimit } from "../../src/streams/message-limit.ts";
import { FeedFinder } from "../../src/streams/requested-feed.ts";
import { SpecStreams } from "../../src/streams/spec-stream.ts";
import { StreamBodies } from "../../src/streams/stream-bodies.ts";
import { StreamLimit } from "../../src/streams/stream-limit.ts";
import type { UnportableMethods } from "../support/common/plain-data.ts";

const key = "secret-unreachable";

let faults: unknown[];
let failure: Error;
beforeEach(() => {
  faults = [];
  failure = new ThreadUnreachable("no reply to ask within 45000 ms");
});

const fail = async () => {
  throw failure;
};

const ownBudget = (max: number) => new SharedBudget({ max, threads: 1, common: new SharedCount() });

/** A handler whose services in another thread fail, unless `overrides` has them. */
function openHandler(overrides: Partial<LogEventService> = {}, files: IdListSettings["files"] = "proxied") {
  const onFault = (error: unknown) => faults.push(error);
  const inFlight = new InFlight(10, new SharedCount(), () => {});
  const query = { held: () => undefined, ask: fail };
  const finder = new FeedFinder(query, inFlight);
  const limit = new StreamLimit(10, 95, new SharedCount());
  const emit = () => {};
  const streams = new SpecStreams({ finder, limit, clock: systemClock, emit });
  const messageLimit = new MessageLimit(4_194_304);
  const common = { finder, streams, messageLimit, hostname: "relay", emit, onSdk: emit };
  const specService = new SpecService({ ...common, onFault });
  const health = new HealthWatch({ check: fail, open: new SharedCount(), clock: systemClock, emit });
  const bodies = new StreamBodies(streams);
  const webStreams = new WebStreams(specService, bodies);
  const http = new HttpHandler({
    query,
    streams: bodies,
    idLists: { manifest: fail, file: fail, fileOnDemand: fail, reportUnreadable: fail },
    idListSettings: { files, publicUrl: undefined },
    intake: {
      maxBodyBytes: 1_000,
      relayId: RELAY_ID,
      refusal: async () => undefined,
      accept: fail,
      ...overrides,
    },
    readProbeState: fail,
    loadRpcs: async () => openRpcCalls(rpcRoutes({ specService, health }), webStreams),
    clock: systemClock,
    limits: { maxUrlLength: 1_000, maxHeaders: 100, bodyTimeoutMs: 10_000 },
    inFlight,
    bodyBudget: new BodyBudget({ bytes: ownBudget(1_000_000), arriving: ownBudget(100) }),
    corsOrigins: [],
    emitLimit: () => {},
    meter: { cell: () => ({ record: () => {} }) },
    onFault,
    emit: undefined,
  });
  return (path: string, init: RequestInit = {}) =>
    http.handle(new Request(`http://relay.example${path}`, init), {
      headerCount: 1,
      clientAddress: "",
      setDeadline: () => {},
      endWithInput: () => {},
    });
}

const events = { method: "POST", headers: { "statsig-api-key": key }, body: '{"events":[{}]}' };
const rpc = {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ sdkKey: key }),
};
const RELAY_ID = "5f0c22a1";
const RPC_PATH = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";
const FILE_PATH = "/v1/download_id_list_file/list";

const requests: readonly (readonly [name: string, path: string, init?: RequestInit])[] = [
  ["config specs", `/v1/download_config_specs/${key}.json`],
  ["config specs by POST", `/v1/download_config_specs/${key}.json`, { method: "POST", body: "{}" }],
  ["ID lists", "/v1/get_id_lists", { ...events, body: "{}" }],
  ["a file of ID lists", FILE_PATH],
  ["log events", "/v1/log_event", events],
  ["startup", "/v1/startup"],
  ["readiness", "/v1/ready"],
];

describe("while the thread that decides does not reply", () => {
  test.each(requests)(
    "a request for %s gets a 503 with Retry-After, and is reported",
    async (_, path, init) => {
      const response = await openHandler()(path, init);
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toBe("5");
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(await response.json()).toEqual({
        code: 503,
        reason: "Service Unavailable",
        message: "The relay is overloaded: retry later",
      });
      expect(faults).toEqual([failure]);
    },
  );

  test("a request for a file on demand gets a 503", async () => {
    const handle = openHandler({}, "on_demand");
    const response = await handle(FILE_PATH, { headers: { "statsig-api-key": key } });
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
  });

  test("log events whose key cannot be checked get a 503, and their body is not read", async () => {
    const handle = openHandler({ refusal: fail });
    let isRead = false;
    const pull = () => {
      isRead = true;
    };
    const body = new ReadableStream({ pull }, { highWaterMark: 0 });
    const response = await handle("/v1/log_event", { ...events, body });
    expect([response.status, isRead]).toEqual([503, false]);
  });

  test("an RPC ends with UNAVAILABLE, and is reported", async () => {
    const response = await openHandler()(RPC_PATH, rpc);
    expect(response.status).toBe(503);
    const content = await toContent(response);
    const text = content.kind === "bytes" ? new TextDecoder().decode(content.bytes) : "";
    expect(JSON.parse(text)).toEqual({ code: "unavailable", message: "The relay is overloaded" });
    expect(faults).toEqual([failure]);
  });

  test("a health check over gRPC does not say SERVING", async () => {
    const response = await openHandler()("/grpc.health.v1.Health/Check", { ...rpc, body: "{}" });
    expect(await response.text()).not.toContain("SERVING");
    expect(response.status).toBeGreaterThanOrEqual(500);
  });

  test("the process is still alive for /v1/health, and requests that need no other thread are handled", async () => {
    const handle = openHandler();
    expect((await handle("/v1/health")).status).toBe(200);
    expect((await handle("/v1/get_id_lists", { method: "POST", body: "{}" })).status).toBe(400);
    expect((await handle("/v1/nothing")).status).toBe(404);
    expect(faults).toEqual([]);
  });
});

test.each(requests)("a bug in the other thread makes a request for %s a 500", async (_, path, init) => {
  failure = new Error("undefined is not a function");
  const response = await openHandler()(path, init);
  expect([response.status, response.headers.get("retry-after")]).toEqual([500, null]);
  expect(faults).toEqual([failure]);
});

describe("log events in another thread", () => {
  test("are passed as plain data", () => {
    const unportable: UnportableMethods<LogEventService>[] = [];
    expect(unportable).toEqual([]);
  });

  test("that this relay forwarded get a 508, by the ID of the thread that forwards", async () => {
    const handle = openHandler({ accept: async () => ({ kind: "accepted" }) });
    const post = (via: string) =>
      handle("/v1/log_event", { ...events, headers: { ...events.headers, "x-sfp-via": via } });
    expect((await post(`9b1d0e77,${RELAY_ID}`)).status).toBe(508);
    expect((await post("9b1d0e77")).status).toBe(202);
  });

  test("have a body of a buffer of its own, which can be moved, and a response after that", async () => {
    const accepted: unknown[] = [];
    const handle = openHandler({
      async accept(request) {
        accepted.push(structuredClone(request, { transfer: [request.body.buffer] }));
        return { kind: "accepted" };
      },
    });
    const response = await handle("/v1/log_event", {
      ...events,
      headers: { ...events.headers, "statsig-sdk-type": "py-server" },
    });
    expect(response.status).toBe(202);
    expect(accepted).toEqual([
      {
        sdkKey: key as SdkKey,
        headers: { "statsig-sdk-type": "py-server" },
        contentEncoding: "",
        body: new TextEncoder().encode(events.body),
      },
    ]);
  });
});
