import { afterEach, expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { systemClock } from "../../src/platform/clock.ts";
import type { ChannelEnd } from "../../src/platform/thread-channel.ts";
import { allocateCounts } from "../../src/serving/counts.ts";
import type { FromServing, ServingSetup, ToServing } from "../../src/serving/messages.ts";
import { serve } from "../../src/serving/serve.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";

const ends: MessagePort[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end.close();
});

/** Returns what sends messages to a "thread" that runs in this one, and what it sent. */
function startThread() {
  const { port1, port2 } = new MessageChannel();
  ends.push(port1, port2);
  for (const port of [port1, port2]) port.start();
  const sent: FromServing[] = [];
  port1.addEventListener("message", ({ data }) => sent.push(...data));
  const reportFault = serve(port2 as unknown as ChannelEnd, systemClock);
  return { send: (...messages: readonly ToServing[]) => port1.postMessage(messages), sent, reportFault };
}

function setupFor(port: number): ServingSetup {
  const { limits, hostname, maxStreams } = readConfig(
    { mode: "http", cache: "disabled", values: new Map() },
    {},
  );
  return {
    ...{ name: "http-1", slot: 1, limits, hostname, grpcReadyPercent: 95, corsOrigins: [] },
    threads: { http: 1, https: 0, grpc: 0, grpcs: 0 },
    ports: [{ protocol: "http", bindAddress: "127.0.0.1", port }],
    tls: undefined,
    idLists: { files: "elsewhere", publicUrl: undefined },
    metrics: { isPushing: false, maxSeries: 100 },
    logEvents: { maxBodyBytes: 1_000, relayId: "0123abcd" },
    settings: {
      ...{ maxConcurrentRequests: 100, maxStreams, maxGrpcMessageBytes: 4_194_304, isDebug: false },
      connectionAge: limits.connectionAge,
    },
    shared: { beats: new SharedArrayBuffer(8), counts: allocateCounts(2) },
  };
}

const connect = (port: number) => fetch(`http://127.0.0.1:${port}/v1/nothing`).then(({ status }) => status);

test("a thread that is to drain while it opens its ports has none open afterwards", async () => {
  const port = await freePort();
  const { send, sent } = startThread();
  send({ kind: "set_up", setup: setupFor(port) }, { kind: "listen" }, { kind: "drain" });
  await eventually(() => expect(sent).toContainEqual({ kind: "drained" }), { withinMs: 15_000 });
  // Time for a port that would open too late.
  await Bun.sleep(300);
  await expect(connect(port)).rejects.toThrow();
});

test("a thread that cannot be set up says why", async () => {
  const { send, sent } = startThread();
  send({ kind: "set_up", setup: { ...setupFor(0), shared: undefined } as unknown as ServingSetup });
  await eventually(() =>
    expect(sent).toEqual([
      {
        kind: "set_up_failed",
        error: expect.objectContaining({ detail: expect.stringContaining("TypeError") }),
      },
    ]),
  );
});

test("an unexpected error before a thread is set up is reported", async () => {
  const { sent, reportFault } = startThread();
  reportFault("uncaught_exception", new RangeError("early"));
  await eventually(() =>
    expect(sent).toMatchObject([
      { kind: "fault", task: "uncaught_exception", error: { detail: "RangeError: early" } },
    ]),
  );
});
