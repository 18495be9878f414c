import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type RawResponse, rawGet } from "../clients/raw-get.ts";
import { eventually } from "../common/wait.ts";
import { djb2, specV2 } from "../upstream/payloads.ts";
import { specProto } from "../upstream/proto-payload.ts";
import { FIRST_LCUT } from "../upstream/published-key.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "./relay-process.ts";

/** A config of this size stays the same in all versions, so that deltas are much smaller than versions. */
const LARGE_CONFIG = randomBytes(20_000).toString("base64");

const lcutOf = (version: number): number => FIRST_LCUT + version * 60_000;
const checksumOf = (version: number): string => djb2(`checksum of ${lcutOf(version)}`);

/** Publishes a version in which one gate has changed. */
export function publishVersion(upstream: Upstream, sdkKey: string, version: number): void {
  const lcut = lcutOf(version);
  const spec = { sdkKey, lcut, color: LARGE_CONFIG, gateValue: version % 2 === 0 };
  upstream.publishProto(sdkKey, specProto(spec), lcut);
  upstream.publish(sdkKey, "v2", specV2(spec), lcut);
}

/** Asks as a client that accepts deltas and has this version. */
export function askFrom(relay: RelayProcess, sdkKey: string, version: number): Promise<RawResponse> {
  const has = `sinceTime=${lcutOf(version)}&checksum=${checksumOf(version)}`;
  const url = `${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json?accept_deltas=true&supports_proto=true&${has}`;
  return rawGet(url, { "accept-encoding": "statsig-br" });
}

/** Fails unless the client got the delta from its version to this one. */
export async function expectDelta(
  relay: RelayProcess,
  sdkKey: string,
  from: number,
  to: number,
): Promise<void> {
  const { status, headers, body } = await askFrom(relay, sdkKey, from);
  expect({ status, to: headers["x-since-time"], isDelta: headers["x-deltas-used"] }).toEqual({
    status: 200,
    to: String(lcutOf(to)),
    isDelta: "true",
  });
  expect(body.length).toBeLessThan(2_000);
}

/** `backup` returns options for relays that share one backup. */
export function describeBackedUpDeltas(name: string, backup: () => RelayOptions): void {
  const start = (upstream: Upstream) => startRelayProcess({ ...backup(), upstream });

  /** A relay that has seen two versions of the key. */
  async function startWithTwo(upstream: Upstream, sdkKey: string): Promise<RelayProcess> {
    publishVersion(upstream, sdkKey, 1);
    const relay = await start(upstream);
    expect((await askFrom(relay, sdkKey, 0)).headers["x-deltas-used"]).toBeUndefined();
    publishVersion(upstream, sdkKey, 2);
    await eventually(() => expectDelta(relay, sdkKey, 1, 2));
    return relay;
  }

  describe(`deltas with the ${name} backup`, () => {
    test("killed and restarted with upstream down, a relay has the deltas from before", async () => {
      const attempt = async (sdkKey: string) => {
        await using upstream = await startUpstream();
        {
          await using relay = await startWithTwo(upstream, sdkKey);
          await relay.kill();
        }
        await upstream.stop();
        await using relay = await start(upstream);
        await expectDelta(relay, sdkKey, 1, 2);
      };
      let attempts = 0;
      // A version does not wait long for the backup, and the machine may be busy.
      await eventually(() => attempt(`secret-deltas-restart-${name}-${attempts++}`), { withinMs: 20_000 });
    });

    test("a relay that gets its first version from upstream has deltas from those that another one saw", async () => {
      await using upstream = await startUpstream();
      let attempts = 0;
      const attempt = async (sdkKey: string) => {
        {
          await using first = await startWithTwo(upstream, sdkKey);
          await first.stop();
        }
        publishVersion(upstream, sdkKey, 3);
        await using second = await start(upstream);
        await expectDelta(second, sdkKey, 2, 3);
        await expectDelta(second, sdkKey, 1, 3);
      };
      // A relay does not wait long for a history, and the machine may be busy.
      await eventually(() => attempt(`secret-deltas-fleet-${name}-${attempts++}`), { withinMs: 20_000 });
    });
  });
}
