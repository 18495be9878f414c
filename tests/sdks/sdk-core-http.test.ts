import { describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { CodingTap } from "../support/upstream/coding-tap.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { correct, type Revision, revision, seenBy } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const sdkKey = "secret-core-http";
const first = revision(sdkKey, 0);
const second = revision(sdkKey, 1);
const third = revision(sdkKey, 2);

const publishJson = (upstream: Upstream, options: Revision): void =>
  upstream.publish(sdkKey, "v2", specV2(options));

const publishProto = (upstream: Upstream, options: Revision): void =>
  upstream.publishProto(sdkKey, specProto(options), options.lcut);

const forms = [
  { name: "plain JSON", offered: "identity", coding: undefined, publish: publishJson },
  { name: "gzip", offered: "gzip", coding: "gzip", publish: publishJson },
  { name: "br", offered: "br", coding: "br", publish: publishJson },
  { name: "protobuf", offered: "statsig-br, gzip, deflate, br", coding: "statsig-br", publish: publishProto },
];

describeWith("node")("Config specs over HTTP: statsig-node-core", () => {
  describe.each(forms)("reading $name", ({ offered, coding, publish }) => {
    test("evaluates a gate and a config and follows an update", async () => {
      await using upstream = await startUpstream();
      publish(upstream, first);
      await using relay = await startRelayProcess({ upstream });
      await using tap = await CodingTap.start(relay.httpUrl, offered);
      await using sdk = await startCoreSdk({ sdkKey, httpUrl: tap.url });
      expect(sdk.initialised).toEqual({ ok: true });
      expect(await seenBy(sdk)).toEqual(correct(first));
      expect(tap.answers[0]?.headers["content-encoding"]).toBe(coding as string);

      publish(upstream, second);
      await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), { withinMs: 20_000 });
    }, 60_000);
  });

  test("gets an uncompressed JSON response without updates while nothing changes", async () => {
    await using upstream = await startUpstream();
    publishJson(upstream, first);
    await using relay = await startRelayProcess({ upstream });
    await using tap = await CodingTap.start(relay.httpUrl, "statsig-br, gzip, deflate, br");
    await using sdk = await startCoreSdk({ sdkKey, httpUrl: tap.url });
    await eventually(() => expect(tap.answers.length).toBeGreaterThan(2), { withinMs: 20_000 });
    const again = tap.answers[2];
    expect(again?.url).toContain(`sinceTime=${first.lcut}`);
    expect(again).toMatchObject({ status: 200, bytes: '{"has_updates":false}'.length });
    expect(again?.headers["content-encoding"]).toBeUndefined();
    expect(await seenBy(sdk)).toEqual(correct(first));
  }, 60_000);

  test.each([
    ["JSON", publishJson],
    ["protobuf", publishProto],
  ] as const)(
    "keeps its %s specs while the relay is down and loads newer ones after its restart",
    async (_, publish) => {
      await using upstream = await startUpstream();
      publish(upstream, first);
      const options = { upstream, httpPort: await freePort() };
      await using relay = await startRelayProcess(options);
      await using sdk = await startCoreSdk({ sdkKey, httpUrl: relay.httpUrl });
      await relay.kill();
      publish(upstream, third);
      // At least one poll of the SDK fails in this time.
      await sleep(1_500);
      expect(await seenBy(sdk)).toEqual(correct(first));

      await using _successor = await startRelayProcess(options);
      await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(third)), { withinMs: 20_000 });
    },
    60_000,
  );
});
