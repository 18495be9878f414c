import { expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { legacySyncIntervalMs, startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { correct, type Revision, revision, seenBy } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const sdkKey = "secret-legacy";
const first = revision(sdkKey, 0);
const second = revision(sdkKey, 1);

/** The v2 specs differ, so that the test notices an SDK that gets them instead of v1. */
const publish = (upstream: Upstream, options: Revision): void => {
  upstream.publish(sdkKey, "v1", specV1(options));
  upstream.publish(sdkKey, "v2", specV2({ ...options, color: "the color of v2" }));
};

describeWith("node")("Config specs over HTTP: statsig-node on v1", () => {
  test("evaluates a gate and a config and follows an update", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    await using relay = await startRelayProcess({ upstream });
    await using sdk = await startLegacySdk({ sdkKey, httpUrl: relay.httpUrl });
    expect(sdk.initialised).toEqual({ ok: true });
    expect(await seenBy(sdk)).toEqual(correct(first));

    publish(upstream, second);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), {
      withinMs: 4 * legacySyncIntervalMs,
    });
  }, 60_000);

  test("keeps its specs while the relay is down and loads newer ones after its restart", async () => {
    await using upstream = await startUpstream();
    publish(upstream, first);
    const options = { upstream, mode: "http", httpPort: await freePort() } as const;
    await using relay = await startRelayProcess(options);
    await using sdk = await startLegacySdk({ sdkKey, httpUrl: relay.httpUrl });
    await relay.kill();
    publish(upstream, second);
    expect(await seenBy(sdk)).toEqual(correct(first));

    await using _successor = await startRelayProcess(options);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), {
      withinMs: 4 * legacySyncIntervalMs,
    });
  }, 60_000);
});
