import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { textOf } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { describeBackedUpDeltas } from "../support/relay/backed-up-deltas.ts";
import { ask, describeBackedUpRelay } from "../support/relay/backed-up-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

describe("local", () => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-backup-relay-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const backup = () => ({ cache: "local", args: ["--local-cache-path", join(folder, "cache")] }) as const;
  describeBackedUpRelay("local", backup);
  describeBackedUpDeltas("local", backup);

  test("a path that can't be used is logged in one line, and the relay serves from memory", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "");
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-no-disk");
    await using relay = await startRelayProcess({
      upstream,
      cache: "local",
      args: ["--local-cache-path", join(file, "below")],
    });
    expect(textOf(await ask(relay, key.sdkKey))).toBe(key.v2);
    await eventually(() => expect(relay.output().match(/local backup unusable/g)).toHaveLength(1));
    expect(relay.output()).toMatch(
      /local backup unusable, serving from memory detail=".*the relay keeps config specs in memory only and tries again"/,
    );
  });

  test("a second relay on the folder, with other keys, limits and upstream, keeps the first relay's keys", async () => {
    const shared = ["--local-cache-path", join(folder, "shared")];
    await using upstream = await startUpstream();
    await using otherUpstream = await startUpstream();
    const keys = Array.from({ length: 4 }, (_, at) => publishKey(upstream, `secret-of-first-${at}`, 2));
    const others = Array.from({ length: 4 }, (_, at) => publishKey(otherUpstream, `secret-of-second-${at}`));
    const first = await startRelayProcess({ upstream, cache: "local", args: shared });
    await using _ = first;
    for (const { sdkKey } of keys) expect((await ask(first, sdkKey)).status).toBe(200);
    const bounds = ["--maximum-concurrent-sdk-keys", "1", "--local-cache-max-in-mb", "1"];
    const args = [...shared, ...bounds, "--clear-datastore-on-unauthorized"];
    await using second = await startRelayProcess({ upstream: otherUpstream, cache: "local", args });
    // Unknown keys are admitted one at a time.
    const expectStatus = (sdkKey: string, status: number) =>
      eventually(async () => expect((await ask(second, sdkKey)).status).toBe(status), { withinMs: 15_000 });
    for (const { sdkKey } of others) await expectStatus(sdkKey, 200);
    // The second relay must not delete a version that its own upstream rejects, or replace one by an older version.
    await expectStatus(keys[0]?.sdkKey ?? "", 401);
    const older = publishKey(otherUpstream, keys[1]?.sdkKey ?? "", 1);
    await expectStatus(older.sdkKey, 200);
    await first.kill();
    await second.stop();
    await upstream.stop();
    await using again = await startRelayProcess({ upstream, cache: "local", args: shared });
    for (const { sdkKey, v2 } of keys) expect(textOf(await ask(again, sdkKey))).toBe(v2);
  });
});
