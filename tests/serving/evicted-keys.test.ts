import { expect, test } from "bun:test";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { masked } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

test("the key that was used least recently, on any thread, is evicted; not one that a stream follows", async () => {
  await using upstream = await startUpstream();
  const args = ["--serving-threads", "3", "-m", "3", "--unknown-key-rate-per-s", "10000"];
  await using managed = await startManagedRelay({ upstream, args });
  const { relay } = managed;
  const keys = [0, 1, 2, 3, 4].map((number) => `secret-evicted-${number}-0123456789`);
  for (const sdkKey of keys) publishKey(upstream, sdkKey);
  const [followed = "", used = "", unused = "", third = "", fourth = ""] = keys;
  using client = new GrpcClient(relay.grpcUrl);
  await client.streamConfigSpec({ sdkKey: followed }).next();
  await ask(relay, used);
  await ask(relay, unused);
  const held = async () => new Set((await managed.status()).feeds.map((feed) => feed.sdk_key));
  // The threads report once a second which keys they use.
  for (const newest of [third, fourth]) {
    await Bun.sleep(1_500);
    await ask(relay, used);
    await Bun.sleep(1_500);
    expect((await ask(relay, newest)).status).toBe(200);
    await eventually(async () => expect(await held()).toEqual(new Set([followed, used, newest].map(masked))));
  }
}, 20_000);
