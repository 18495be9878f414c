import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { specV1 } from "../support/upstream/payloads.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE = { traceparent: TRACEPARENT, tracestate: "vendor=t61rcWkgMzE,other=1" };

let upstream: Upstream;
let relay: RelayProcess;
let keys = 0;

beforeAll(async () => {
  upstream = await startUpstream();
  relay = await startRelayProcess({ upstream, pollIntervalS: 60 });
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

function newKey(): string {
  const key = `secret-traced-${++keys}`;
  upstream.publish(key, "v1", specV1({ lcut: 1_000 }));
  return key;
}

/** Returns the trace headers of each upstream request for the key. */
function tracesOf(key: string) {
  return upstream.requests
    .filter(({ path, headers }) => path.includes(key) || headers["statsig-api-key"] === key)
    .map(({ headers: { traceparent, tracestate } }) => ({ traceparent, tracestate }));
}

const urlOf = (key: string) => `${relay.httpUrl}/v1/download_config_specs/${key}.json`;

describe("the trace of a client is forwarded to upstream on a cache miss by", () => {
  const RPC = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";
  const requests: Readonly<Record<string, (sdkKey: string) => Promise<unknown>>> = {
    GET: (key) => fetch(urlOf(key), { headers: TRACE }),
    "GET with the key in a header": (key) =>
      fetch(`${relay.httpUrl}/v1/download_config_specs`, { headers: { ...TRACE, "statsig-api-key": key } }),
    POST: (key) => fetch(urlOf(key), { method: "POST", body: "{}", headers: TRACE }),
    "a POST for ID lists": (key) =>
      fetch(`${relay.httpUrl}/v1/get_id_lists`, {
        method: "POST",
        body: "{}",
        headers: { ...TRACE, "statsig-api-key": key },
      }),
    Connect: (key) =>
      fetch(`${relay.httpUrl}${RPC}`, {
        method: "POST",
        body: JSON.stringify({ sdkKey: key }),
        headers: { ...TRACE, "content-type": "application/json" },
      }),
    gRPC: async (sdkKey) => {
      using client = new GrpcClient(relay.grpcUrl);
      await client.getConfigSpec({ sdkKey, version: 1 }, TRACE);
    },
    "a gRPC stream": async (sdkKey) => {
      using client = new GrpcClient(relay.grpcUrl);
      using stream = client.streamConfigSpec({ sdkKey, version: 1 }, TRACE);
      await stream.next();
    },
  };
  for (const [name, ask] of Object.entries(requests)) {
    test(name, async () => {
      const key = newKey();
      await ask(key);
      expect(tracesOf(key)).toEqual([TRACE]);
    });
  }
});

describe("the trace of a client", () => {
  test("is forwarded with its own request only, even if many requests wait", async () => {
    await using narrow = await startRelayProcess({
      upstream,
      pollIntervalS: 60,
      args: ["--max-in-flight", "2"],
    });
    const slowly = upstream.misbehave({ kind: "none" }, { delayMs: 20 });
    const asked = Array.from({ length: 60 }, (_, at) => {
      const traceId = (at + 1).toString(16).padStart(32, "0");
      // Every third client sends no trace headers.
      const traceparent = at % 3 === 0 ? undefined : `00-${traceId}-b7ad6b7169203331-01`;
      return { key: newKey(), traceparent };
    });
    await Promise.all(
      asked.map(({ key, traceparent }) =>
        fetch(urlOf(key).replace(relay.httpUrl, narrow.httpUrl), {
          headers: traceparent === undefined ? {} : { traceparent },
        }),
      ),
    );
    slowly();
    for (const { key, traceparent } of asked) {
      expect(tracesOf(key).map((trace) => trace.traceparent)).toEqual([traceparent]);
    }
  });

  test("is not forwarded with later polls of the feed", async () => {
    await using polling = await startRelayProcess({ upstream, pollIntervalS: 1 });
    const key = newKey();
    await fetch(urlOf(key).replace(relay.httpUrl, polling.httpUrl), { headers: TRACE });
    await eventually(() => expect(tracesOf(key).length).toBeGreaterThan(2));
    const [first, ...polls] = tracesOf(key);
    expect(first).toEqual(TRACE);
    for (const poll of polls) expect(poll).toEqual({ traceparent: undefined, tracestate: undefined });
  });

  test("is not forwarded with log events, which come from many clients", async () => {
    await using events = await startEventRelay({ args: ["--log-event-flush-interval-in-ms", "100"] });
    const accepted = await events.post("secret-events", { events: [{ eventName: "a" }] }, TRACE);
    expect(accepted.status).toBe(202);
    await eventually(() => expect(events.forwarded()).toHaveLength(1));
    expect(events.forwarded()[0]?.request.headers["traceparent"]).toBeUndefined();
  });
});

describe("an invalid trace header is not forwarded:", () => {
  const malformed: Readonly<Record<string, string>> = {
    "another format": "1-67891233-abcdef012345678912345678",
    "capital letters": TRACEPARENT.toUpperCase(),
    "a trace ID of zeros": "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "a parent ID of zeros": "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "the invalid version ff": TRACEPARENT.replace("00-", "ff-"),
    "version 00 with an extra field": `${TRACEPARENT}-more`,
    truncated: TRACEPARENT.slice(0, -1),
    "two values": `${TRACEPARENT}, ${TRACEPARENT}`,
  };
  for (const [name, traceparent] of Object.entries(malformed)) {
    test(name, async () => {
      const key = newKey();
      await fetch(urlOf(key), { headers: { ...TRACE, traceparent } });
      expect(tracesOf(key)).toEqual([{ traceparent: undefined, tracestate: undefined }]);
    });
  }

  test("a tracestate without a traceparent", async () => {
    const key = newKey();
    await fetch(urlOf(key), { headers: { tracestate: TRACE.tracestate } });
    expect(tracesOf(key)).toEqual([{ traceparent: undefined, tracestate: undefined }]);
  });

  test("a tracestate of more than 512 characters, unlike its traceparent", async () => {
    const key = newKey();
    await fetch(urlOf(key), { headers: { ...TRACE, tracestate: `a=${"b".repeat(511)}` } });
    expect(tracesOf(key)).toEqual([{ traceparent: TRACEPARENT, tracestate: undefined }]);
  });

  test("forwards a later version unchanged", async () => {
    const key = newKey();
    const traceparent = `${TRACEPARENT.replace("00-", "cc-")}-what-the-future-will-be-like`;
    await fetch(urlOf(key), { headers: { traceparent } });
    expect(tracesOf(key)).toEqual([{ traceparent, tracestate: undefined }]);
  });

  test("forwards any header unchanged or not at all, and always responds with specs", async () => {
    const header = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."0123456789abcdef-,= F"), maxLength: 80 }),
      fc.constantFrom(TRACEPARENT, `${TRACEPARENT}-`, ` ${TRACEPARENT} `, TRACEPARENT.replaceAll("-", "_")),
    );
    await fc.assert(
      fc.asyncProperty(header, header, async (traceparent, tracestate) => {
        const key = newKey();
        const response = await fetch(urlOf(key), { headers: { traceparent, tracestate } });
        expect(response.status).toBe(200);
        const [forwarded] = tracesOf(key);
        expect(forwarded?.traceparent ?? traceparent.trim()).toBe(traceparent.trim());
        expect(forwarded?.tracestate ?? tracestate.trim()).toBe(tracestate.trim());
        if (forwarded?.traceparent === undefined) expect(forwarded?.tracestate).toBeUndefined();
      }),
      { numRuns: 60, interruptAfterTimeLimit: 10_000 },
    );
  });
});

test("responds from the cache in the same way with and without a trace", async () => {
  const key = newKey();
  await fetch(urlOf(key));
  const plain = await fetch(urlOf(key));
  const traced = await fetch(urlOf(key), { headers: TRACE });
  using client = new GrpcClient(relay.grpcUrl);
  await client.getConfigSpec({ sdkKey: key, version: 1 }, TRACE);
  expect(traced.headers.get("etag")).toBe(plain.headers.get("etag") ?? "");
  expect(tracesOf(key)).toHaveLength(1);
});
