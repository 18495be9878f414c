import { expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { correct, type Revision, revision, seenBy } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const sdkKey = "secret-core-large";
const [first, second, third] = [revision(sdkKey, 0), revision(sdkKey, 1), revision(sdkKey, 2)];

const publish = (upstream: Upstream, options: Revision): void =>
  upstream.publish(sdkKey, "v2", specV2(options));
const publishLarge = (upstream: Upstream, options: Revision): void =>
  upstream.publish(sdkKey, "v2", padTo(specV2(options), 5_000_000));

/** The adapters of an SDK, in the order in which it tries them. The first one also gets updates. */
const adapters = (relay: { readonly grpcUrl: string; readonly httpUrl: string }, order: readonly string[]) =>
  order.map((adapterType) =>
    adapterType === "network_http"
      ? { adapterType, specsUrl: `${relay.httpUrl}/v2/download_config_specs`, initTimeoutMs: 15_000 }
      : { adapterType, specsUrl: relay.grpcUrl, initTimeoutMs: 3_000, authenticationMode: "none" },
  );
const GRPC = "network_grpc_websocket";
const HTTP = "network_http";

describeWith("node")("statsig-node-core and a config spec that is too large for its streams", () => {
  test("has no values with a stream alone, and logs the remedy", async () => {
    await using upstream = await startUpstream();
    publishLarge(upstream, first);
    await using relay = await startRelayProcess({ upstream });
    const options = { specAdaptersConfig: adapters(relay, [GRPC]) };
    await using sdk = await startCoreSdk({ sdkKey, httpUrl: relay.httpUrl, options });
    expect(sdk.initialised.ok).toBe(false);
    const problem = "too large for gRPC: 5000012 bytes, at most 4194304 are sent";
    await eventually(() => expect(sdk.log()).toContain(problem));
    expect(sdk.log()).toContain("network_http is the first adapter");
    // As soon as the config spec fits, the stream has it.
    publish(upstream, second);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), { withinMs: 25_000 });
  }, 60_000);

  test("starts with the second adapter, network_http", async () => {
    await using upstream = await startUpstream();
    publishLarge(upstream, first);
    await using relay = await startRelayProcess({ upstream });
    const options = { specAdaptersConfig: adapters(relay, [GRPC, HTTP]) };
    await using sdk = await startCoreSdk({ sdkKey, httpUrl: relay.httpUrl, options });
    expect(sdk.initialised).toEqual({ ok: true });
    expect(await seenBy(sdk)).toEqual(correct(first));
    await eventually(() => expect(sdk.log()).toContain("too large for gRPC"));
  }, 60_000);

  test("keeps its config while the stream is refused, and streams again once the config spec fits", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    await using relay = await startRelayProcess({ upstream });
    const options = { specAdaptersConfig: adapters(relay, [GRPC, HTTP]) };
    await using sdk = await startCoreSdk({ sdkKey, httpUrl: relay.httpUrl, options });
    expect(await seenBy(sdk)).toEqual(correct(first));
    publishLarge(upstream, second);
    await eventually(() => expect(sdk.log()).toContain("too large for gRPC"), { withinMs: 25_000 });
    expect(await seenBy(sdk)).toEqual(correct(first));
    publish(upstream, third);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(third)), { withinMs: 25_000 });
  }, 90_000);

  test("gets every update with network_http as the first adapter", async () => {
    await using upstream = await startUpstream();
    publishLarge(upstream, first);
    await using relay = await startRelayProcess({ upstream });
    const options = { specAdaptersConfig: adapters(relay, [HTTP, GRPC]) };
    await using sdk = await startCoreSdk({ sdkKey, httpUrl: relay.httpUrl, options });
    expect(sdk.initialised).toEqual({ ok: true });
    expect(await seenBy(sdk)).toEqual(correct(first));
    publishLarge(upstream, second);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), { withinMs: 25_000 });
    publish(upstream, third);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(third)), { withinMs: 25_000 });
    expect(relay.output()).not.toContain("too large for gRPC clients");
  }, 90_000);
});
