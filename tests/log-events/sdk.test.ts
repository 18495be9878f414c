import { expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { type EventRelay, startEventRelay } from "../support/log-events/event-relay.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import type { SdkProcess } from "../support/sdks/sdk-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { revision } from "../support/upstream/revisions.ts";

interface Exposure {
  readonly eventName: string;
  readonly user: { readonly userID: string };
  readonly metadata: Readonly<Record<string, unknown>>;
}

const sdkKey = "secret-events";

async function relayWithSpecs(): Promise<EventRelay> {
  const setup = await startEventRelay({ args: ["--debug-logging"] });
  setup.upstream.publish(sdkKey, "v1", specV1(revision(sdkKey, 0)));
  setup.upstream.publish(sdkKey, "v2", specV2(revision(sdkKey, 0)));
  return setup;
}

const exposuresAt = (setup: EventRelay): Exposure[] =>
  setup
    .forwarded(sdkKey)
    .flatMap(({ events }) => events as Exposure[])
    .filter(({ eventName }) => eventName.endsWith("_exposure"));

/** Evaluates a gate and a config for three users. */
async function useSdk(sdk: SdkProcess): Promise<void> {
  expect(sdk.initialised).toEqual({ ok: true });
  for (const user of ["u1", "u2", "u3"]) {
    await sdk.gate("gate_public", user);
    await sdk.config("config_public", user);
  }
}

async function expectThreeUsers(setup: EventRelay): Promise<void> {
  await eventually(
    () => {
      const seen = exposuresAt(setup).map(({ eventName, user }) => `${eventName} ${user.userID}`);
      const expected = ["u1", "u2", "u3"].flatMap((user) => [
        `statsig::config_exposure ${user}`,
        `statsig::gate_exposure ${user}`,
      ]);
      expect(seen.sort()).toEqual(expected.sort());
    },
    { withinMs: 10_000 },
  );
}

describeWith("node")("log events of SDKs", () => {
  test("statsig-node-core sends zstd; each exposure reaches upstream once, with the SDK's headers", async () => {
    await using setup = await relayWithSpecs();
    await using sdk = await startCoreSdk({
      sdkKey,
      httpUrl: setup.relay.httpUrl,
      options: { disableAllLogging: false },
    });
    await useSdk(sdk);
    // The SDK sends its events when it is shut down.
    await sdk[Symbol.asyncDispose]();
    await expectThreeUsers(setup);
    const [batch] = setup.forwarded(sdkKey);
    expect(batch?.request.headers["statsig-sdk-type"]).toBe("statsig-server-core-node");
    expect(batch?.request.headers["statsig-event-count"]).toBe(String(batch?.events.length));
    expect(batch?.metadata).toMatchObject({ sdkType: "statsig-server-core-node" });
  }, 30_000);

  test("statsig-node sends gzip; each exposure reaches upstream once, although two servers send it", async () => {
    const options = { disableAllLogging: false, loggingIntervalMs: 1_000 };
    for (;;) {
      await using setup = await relayWithSpecs();
      const minute = currentMinute();
      for (const servers of [1, 2]) {
        await using sdk = await startLegacySdk({ sdkKey, httpUrl: setup.relay.httpUrl, options });
        await useSdk(sdk);
        // The SDK sends at its interval: on shutdown it does not wait for the response.
        await eventually(() => expect(acceptedEvents(setup)).toBeGreaterThanOrEqual(6 * servers), {
          withinMs: 10_000,
        });
      }
      // Exposures of different minutes are not duplicates.
      if (currentMinute() !== minute) continue;
      await expectThreeUsers(setup);
      expect(setup.forwarded(sdkKey)[0]?.metadata).toMatchObject({ sdkType: "statsig-node" });
      await eventually(() => expect(setup.relay.output()).toContain("duplicates=6"));
      return;
    }
  }, 120_000);
});

const currentMinute = (): number => Math.floor(Date.now() / 60_000);

function acceptedEvents(setup: EventRelay): number {
  const lines = setup.relay.output().matchAll(/log events accepted .*events=(\d+)/g);
  return Array.from(lines).reduce((sum, [, count]) => sum + Number(count), 0);
}
