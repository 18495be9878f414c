import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { eventually } from "../support/common/wait.ts";
import { type OperatedRelay, startOperatedRelay } from "../support/relay/operated-relay.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import type { SdkProcess } from "../support/sdks/sdk-process.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { lcutOf, publishGate } from "../support/upstream/gate-versions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const PATIENCE = { withinMs: 25_000 };

/** Fails unless the SDK evaluates the gate to this value, from specs of this lcut or later. */
async function expectGate(sdk: SdkProcess, value: boolean, sinceLcut: number): Promise<void> {
  const gate = await sdk.gate("gate_public");
  expect(gate.value).toBe(value);
  if (gate.lcut !== undefined) expect(gate.lcut).toBeGreaterThanOrEqual(sinceLcut);
}

/** Publishes a bad version, rolls back, publishes more bad ones, and releases: the SDK follows each time. */
async function followOperators(sdk: SdkProcess, relay: OperatedRelay, upstream: Upstream, sdkKey: string) {
  await eventually(() => expectGate(sdk, true, lcutOf(1)), PATIENCE);
  publishGate(upstream, sdkKey, { number: 2, gateValue: false });
  await eventually(() => expectGate(sdk, false, lcutOf(2)), PATIENCE);

  const { status, body } = await relay.order("/v1/rollback", { key: sdkKey, reason: "bad gate" });
  expect([status, body.result, body.from, body.to]).toEqual([200, "done", lcutOf(2), lcutOf(1)]);
  await eventually(() => expectGate(sdk, true, lcutOf(2) + 1), PATIENCE);

  publishGate(upstream, sdkKey, { number: 3, gateValue: false });
  await eventually(() => expect(relay.relay.output()).toContain(`lcut=${lcutOf(3)} served_lcut=`), PATIENCE);
  await expectGate(sdk, true, lcutOf(2) + 1);

  expect((await relay.order("/v1/unpin", { key: sdkKey })).status).toBe(200);
  await eventually(() => expectGate(sdk, false, lcutOf(3)), PATIENCE);
}

async function startWith(sdkKey: string, color?: string) {
  const stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  publishGate(upstream, sdkKey, { number: 1, gateValue: true, ...(color && { color }) });
  const relay = stack.use(await startOperatedRelay({ upstream }));
  return { stack, upstream, relay };
}

describe("an SDK evaluates the earlier version after a roll back, and the newest one after the release", () => {
  test("core SDK, polling protobuf", async () => {
    const sdkKey = "secret-rollback-core-polls";
    const { stack, upstream, relay } = await startWith(sdkKey);
    await using _ = stack;
    const { httpUrl } = relay.relay;
    await using sdk = await startCoreSdk({ sdkKey, httpUrl });
    await followOperators(sdk, relay, upstream, sdkKey);
  }, 90_000);

  test("core SDK, on a gRPC stream", async () => {
    const sdkKey = "secret-rollback-core-stream";
    const { stack, upstream, relay } = await startWith(sdkKey);
    await using _ = stack;
    const { httpUrl, grpcUrl } = relay.relay;
    await using sdk = await startCoreSdk({ sdkKey, httpUrl, grpcUrl });
    await followOperators(sdk, relay, upstream, sdkKey);
  }, 90_000);

  test("legacy SDK, polling JSON", async () => {
    const sdkKey = "secret-rollback-legacy";
    const { stack, upstream, relay } = await startWith(sdkKey);
    await using _ = stack;
    const { httpUrl } = relay.relay;
    await using sdk = await startLegacySdk({ sdkKey, httpUrl });
    await followOperators(sdk, relay, upstream, sdkKey);
  }, 90_000);

  test("core SDK that accepts deltas: it gets the deltas to what was published again", async () => {
    const sdkKey = "secret-rollback-core-deltas";
    const color = randomBytes(20_000).toString("hex");
    const { stack, upstream, relay } = await startWith(sdkKey, color);
    await using _ = stack;
    const { httpUrl } = relay.relay;
    const options = { enableDcsDeltas: true };
    await using sdk = await startCoreSdk({ sdkKey, httpUrl, options });
    await eventually(() => expectGate(sdk, true, lcutOf(1)), PATIENCE);
    publishGate(upstream, sdkKey, { number: 2, gateValue: false, color });
    await eventually(() => expectGate(sdk, false, lcutOf(2)), PATIENCE);
    await relay.order("/v1/rollback", { key: sdkKey });
    await eventually(() => expectGate(sdk, true, lcutOf(2) + 1), PATIENCE);
    await relay.order("/v1/unpin", { key: sdkKey });
    await eventually(() => expectGate(sdk, false, lcutOf(2) + 2), PATIENCE);
    const countSent = async () =>
      sumOf(await readMetrics(relay.relay), "DeltaResponse_count_total", { result: "delta" });
    // The counts of a busy thread come a little later.
    await eventually(async () => expect(await countSent()).toBeGreaterThanOrEqual(2), PATIENCE);
  }, 90_000);
});
