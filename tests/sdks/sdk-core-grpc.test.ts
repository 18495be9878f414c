import { expect, test } from "bun:test";
import { TcpBalancer } from "../support/clients/tcp-balancer.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { correct, type Revision, revision, seenBy } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const PATIENT = { withinMs: 25_000 };

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
      await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(next)), PATIENT);
    }
  }, 60_000);

  test("keeps its specs while the relay is down and streams again after its restart", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    const options = { upstream, mode: "grpc", grpcPort: await freePort() } as const;
    await using relay = await startRelayProcess(options);
    await using fallback = await startEmptyFallback();
    await using sdk = await startCoreSdk({ sdkKey, grpcUrl: relay.grpcUrl, httpUrl: fallback.url });
    await relay.kill();
    publish(upstream, second);
    expect(await seenBy(sdk)).toEqual(correct(first));

    await using _successor = await startRelayProcess(options);
    // The SDK reconnects 3 s after the stream has ended.
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), PATIENT);
    publish(upstream, third);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(third)), PATIENT);
  }, 90_000);

  test("moves to another relay when its connection is old, keeps its specs meanwhile, and streams from there", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    const args = ["--grpc-max-connection-age-in-s", "2", "--debug-logging"];
    await using old = await startRelayProcess({ upstream, mode: "grpc", args });
    await using added = await startRelayProcess({ upstream, mode: "grpc" });
    await using balancer = await TcpBalancer.start(old.grpcPort);
    await using fallback = await startEmptyFallback();
    await using sdk = await startCoreSdk({ sdkKey, grpcUrl: balancer.url, httpUrl: fallback.url });
    balancer.add(added.grpcPort);
    balancer.remove(old.grpcPort);
    await eventually(() => expect(old.output()).toContain("stream closed"), PATIENT);
    expect(await seenBy(sdk)).toEqual(correct(first));
    // It reconnects after 3 s.
    publish(upstream, second);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), PATIENT);
    publish(upstream, third);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(third)), PATIENT);
    await eventually(() => expect(balancer.connections).toEqual([0, 1]), PATIENT);
  }, 90_000);
});
