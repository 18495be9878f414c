import { describe, expect, test } from "bun:test";
import { status as code } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { failureOf } from "../support/common/failure.ts";
import { FAULT_KEY, faultEnv } from "../support/common/fault-injection.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-unexpected";

describe("an unexpected error in a request", () => {
  test("ends the request with 500 or the call with INTERNAL, is reported, and does not affect the next one", async () => {
    await using upstream = await startUpstream();
    const { lcut } = publishKey(upstream, KEY);
    // Twice: the clock is read on the cached path, and again on the other one.
    const faults = ["http/handler.ts", "get .*grpc/spec-service"].map(
      (within) => ({ kind: "call", api: "performance.now", within, times: 2 }) as const,
    );
    await using managed = await startManagedRelay({ upstream, env: faultEnv(...faults) });
    const ask = () => fetch(`${managed.relay.httpUrl}/v2/download_config_specs/${KEY}.json`);
    const failed = await ask();
    expect([failed.status, await failed.json()]).toEqual([
      500,
      { code: 500, reason: "Internal Server Error" },
    ]);
    using client = new GrpcClient(managed.relay.grpcUrl);
    const call = () => client.getConfigSpec({ sdkKey: KEY, version: 2 });
    for (let time = 0; time < 2; time++) {
      expect(await failureOf(call())).toMatchObject({ code: code.INTERNAL });
    }
    expect((await ask()).headers.get("x-since-time")).toBe(String(lcut));
    expect((await call()).message.lastUpdated).toBe(lcut);
    const components = ["http_request", "rpc"];
    await eventually(async () => {
      const samples = await readMetrics(managed.relay);
      const counts = components.map((component) =>
        sumOf(samples, "UnexpectedError_count_total", { component }),
      );
      expect(counts).toEqual([1, 2]);
    });
    const output = managed.relay.output();
    for (const task of components) expect(output).toContain(`task=${task} `);
    expect(output).not.toMatch(/^\s+at /m);
    expect(output).not.toContain(FAULT_KEY);
  }, 30_000);
});
