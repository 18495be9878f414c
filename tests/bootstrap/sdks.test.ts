import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { legacySyncIntervalMs, startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { correct, revision, seenBy } from "../support/upstream/revisions.ts";

const sdkKey = "secret-offline-sdk";
const first = revision(sdkKey, 0);
const second = revision(sdkKey, 1);

const startOffline = ({ path }: SpecFolder): Promise<RelayProcess> =>
  startRelayProcess({ args: ["--offline", "--bootstrap-path", path] });

describeWith("node")("offline, an SDK evaluates what files have, and follows a change", () => {
  test.each([
    ["JSON", (folder: SpecFolder, options = first) => folder.write("specs.json", specV2(options))],
    [
      "compressed JSON",
      (folder: SpecFolder, options = first) =>
        folder.write("specs.json", gzipSync(JSON.stringify(specV2(options)))),
    ],
    [
      "protobuf",
      (folder: SpecFolder, options = first) => folder.write("specs.statsig-br", specProto(options)),
    ],
  ])("statsig-node-core, polling, %s", async (_, write) => {
    using folder = new SpecFolder();
    write(folder, first);
    await using relay = await startOffline(folder);
    await using sdk = await startCoreSdk({ sdkKey, httpUrl: relay.httpUrl });
    expect(sdk.initialised).toEqual({ ok: true });
    expect(await seenBy(sdk)).toEqual(correct(first));
    write(folder, second);
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), { withinMs: 20_000 });
  });

  test("statsig-node-core, streaming", async () => {
    using folder = new SpecFolder();
    folder.write("specs.json", specV2(first));
    await using relay = await startOffline(folder);
    await using sdk = await startCoreSdk({ sdkKey, httpUrl: relay.httpUrl, grpcUrl: relay.grpcUrl });
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(first)), { withinMs: 20_000 });
    folder.replace("specs.json", specV2(second));
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), { withinMs: 20_000 });
  });

  test("statsig-node", async () => {
    using folder = new SpecFolder();
    folder.write("specs.json", specV1(first));
    folder.write("v2.json", specV2({ ...first, color: "the color of v2" }));
    await using relay = await startOffline(folder);
    await using sdk = await startLegacySdk({ sdkKey, httpUrl: relay.httpUrl });
    expect(sdk.initialised).toEqual({ ok: true });
    expect(await seenBy(sdk)).toEqual(correct(first));
    folder.write("specs.json", specV1(second));
    await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(second)), {
      withinMs: 4 * legacySyncIntervalMs,
    });
  });
});
