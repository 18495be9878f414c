import { expect, test } from "bun:test";
import { TcpBalancer } from "../support/clients/tcp-balancer.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { correct, type Revision, revision, seenBy } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const sdkKey = "secret-core-grpc";
const first = revision(sdkKey, 0);
const second = revision(sdkKey, 1);
const third = revision(sdkKey, 2);

const publish = (upstream: Upstream, options: Revision): void =>
  upstream.publish(sdkKey, "v2", specV2(options));

/** An upstream without keys as the HTTP fallback, so that the SDK can only get its config from the stream. */
const startEmptyFallback = startUpstream;

describeWith("node")("gRPC: statsig-node-core streams version 2", () => {
  test("evaluates a gate and a config from the stream and follows updates", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    await using relay = await startRelayProcess({ upstream });
    await using fallback = await startEmptyFallback();
    await using sdk = await startCoreSdk({ sdkKey, grpcUrl: relay.grpcUrl, httpUrl: fallback.url });
    expect(sdk.initialised).toEqual({ ok: true });
    expect(await seenBy(sdk)).toEqual(correct(first));

    for (const next of [second, third]) {
      publish(upstream, next);
      await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(next)));
    }
  }, 15_000);

  test("keeps its specs while the relay is down and streams again after its restart", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    await using relay = await startRelayProcess({ upstream, mode: "grpc" });
    await using fallback = await startEmptyFallback();
    await using sdk = await startCoreSdk({ sdkKey, grpcUrl: relay.grpcUrl, httpUrl: fallback.url });
    await relay.kill();
    publish(upstream, second);
    expect(await seenBy(sdk)).toEqual(correct(first));

    await using _successor = await startRelayProcess({ upstream, mode: "grpc", grpcPort: relay.grpcPort });
    // The SDK reconnects 3 s after the stream has ended.
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), {
      withinMs: 12_000,
    });
    publish(upstream, third);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(third)));
  }, 28_000);

  test("moves to another relay when its connection is old, keeps its specs meanwhile, and streams from there", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    const args = ["--grpc-max-connection-age-in-s", "2", "--debug-logging"];
    await using old = await startRelayProcess({ upstream, mode: "grpc", args });
    await using balancer = await TcpBalancer.start(old.grpcPort);
    await using fallback = await startEmptyFallback();
    await using sdk = await startCoreSdk({ sdkKey, grpcUrl: balancer.url, httpUrl: fallback.url });
    expect(balancer.connections).toEqual([1]);
    await using added = await startRelayProcess({ upstream, mode: "grpc" });
    balancer.add(added.grpcPort);
    balancer.remove(old.grpcPort);
    await eventually(() => expect(old.output()).toContain("stream closed"), { withinMs: 10_000 });
    publish(upstream, second);
    // It reconnects after 3 s.
    expect([correct(first), correct(second)]).toContainEqual(await seenBy(sdk));
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), { withinMs: 12_000 });
    publish(upstream, third);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(third)));
    expect(balancer.connections).toEqual([0, 1]);
  }, 40_000);
});
