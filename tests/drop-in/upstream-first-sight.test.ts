import { afterAll, beforeAll, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { status as grpcStatus } from "@grpc/grpc-js";
import { rawGet } from "../support/clients/raw-get.ts";
import { GET_CONFIG_SPEC, RawGrpcClient } from "../support/clients/raw-grpc-client.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { FixedReplyServer } from "../support/upstream/fixed-reply-server.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";
import type { Fault } from "../support/upstream/upstream-faults.ts";
import { FIRST_SIGHT_ROWS, type FirstSightRow } from "./upstream-first-sight.rows.ts";

/** Longer than a client waits, see {@link giveUp}. */
const LIMIT_MS = 25_000;

const stack = new AsyncDisposableStack();
const outcomes = new Map<string, Promise<string>>();
let slowly: { readonly relay: RelayProcess; readonly sdkKey: string; readonly lcut: number };

const FAULTS: Partial<Record<FirstSightRow["hangs"], Fault>> = {
  response: { kind: "hang" },
  redis: { kind: "hang" },
  body: { kind: "stall", afterBytes: 0 },
  drip: { kind: "drip", chunkBytes: 1, everyMs: 200 },
};

/**
 * SDKs give up after 10 s, and the limits of single connections are 10 s too. A step that is late counts as on time: this process, or
 * the machine, stood still.
 */
async function giveUp(): Promise<string> {
  for (let step = 0; step < 190; step++) await sleep(50);
  return "no answer within 9.5 s";
}

const ask = (...request: Parameters<typeof askPatiently>): Promise<string> =>
  Promise.race([askPatiently(...request), giveUp()]);

async function askPatiently(
  relay: RelayProcess,
  asks: FirstSightRow["asks"],
  sdkKey: string,
): Promise<string> {
  if (asks === "grpc") {
    using client = new RawGrpcClient(relay.grpcUrl);
    const request = encodeRequest({ sdkKey, version: 2 });
    const answered = client.unary(GET_CONFIG_SPEC, request, { deadlineMs: LIMIT_MS });
    return answered.then(
      () => "OK",
      ({ code }: { code: number }) => grpcStatus[code] ?? String(code),
    );
  }
  const path =
    asks === "http" ? `/v2/download_config_specs/${sdkKey}.json` : `/v1/get_id_lists/${sdkKey}.json`;
  const { status, headers } = await rawGet(`${relay.httpUrl}${path}`, {}, { limitMs: LIMIT_MS });
  return `${status}${headers["retry-after"] === undefined ? "" : ", Retry-After"}`;
}

/** All requests are sent at once, since each takes almost 10 s. */
beforeAll(async () => {
  const upstream = stack.use(await startUpstream());
  const silent = stack.use(await FixedReplyServer.start(""));
  const start = async (options: RelayOptions) => stack.use(await startRelayProcess(options));
  const [direct, connection, tls, proxy, redis] = await Promise.all([
    start({ upstream }),
    start({ env: { STATSIG_ENDPOINT: `http://127.0.0.1:${silent.port}` } }),
    start({ env: { STATSIG_ENDPOINT: `https://127.0.0.1:${silent.port}` } }),
    start({ upstream, env: { HTTP_PROXY: `http://127.0.0.1:${silent.port}` } }),
    start({ upstream, cache: "redis", env: { REDIS_URL: `redis://127.0.0.1:${silent.port}` } }),
  ]);
  const relays = { response: direct, body: direct, drip: direct, connection, tls, proxy, redis };
  upstream.misbehave({ kind: "hang" }, { when: ({ path }) => path === "/v1/get_id_lists" });
  for (const [number, { name, hangs, asks }] of FIRST_SIGHT_ROWS.entries()) {
    const sdkKey = `secret-first-sight-${number}`;
    publishKey(upstream, sdkKey);
    const fault = FAULTS[hangs];
    if (fault !== undefined) upstream.misbehave(fault, forKey(sdkKey));
    outcomes.set(name, ask(relays[hangs], asks, sdkKey));
  }
  slowly = { relay: direct, ...startSlowly(upstream, direct) };
}, 30_000);

afterAll(() => stack.disposeAsync());

/** A body that takes at least 11 s, without a pause. */
function startSlowly(upstream: Upstream, relay: RelayProcess) {
  const { sdkKey, lcut, v2 } = publishKey(upstream, "secret-slowly");
  const chunkBytes = Math.floor(gzipSync(v2).length / 44);
  upstream.misbehave({ kind: "drip", chunkBytes, everyMs: 250 }, forKey(sdkKey));
  outcomes.set(sdkKey, ask(relay, "http", sdkKey));
  return { sdkKey, lcut };
}

testRows(FIRST_SIGHT_ROWS, async ({ name, asks }) => {
  expect(await outcomes.get(name)).toBe(asks === "grpc" ? "UNAVAILABLE" : "503, Retry-After");
});

test("the request to upstream goes on, and a later client gets its result", async () => {
  const { relay, sdkKey, lcut } = slowly;
  expect(await outcomes.get(sdkKey)).toBe("503, Retry-After");
  await eventually(
    async () => {
      const { headers } = await rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
      expect(headers["x-since-time"]).toBe(String(lcut));
    },
    { withinMs: 15_000, everyMs: 500 },
  );
});
