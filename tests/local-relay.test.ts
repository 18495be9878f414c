import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, describeBackedUpRelay } from "./support/backed-up-relay.ts";
import { publishKey } from "./support/published-key.ts";
import { textOf } from "./support/raw-get.ts";
import { startRelayProcess } from "./support/relay-process.ts";
import { startUpstream } from "./support/upstream.ts";

describe("local", () => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-backup-relay-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  describeBackedUpRelay("local", () => ({
    cache: "local",
    args: ["--local-cache-path", join(folder, "cache")],
  }));

  test("a path that can't be used is one clear line, and the relay serves from memory", async () => {
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
    expect(relay.output().match(/local unusable/g)).toHaveLength(1);
    expect(relay.output()).toMatch(
      /local unusable detail=".*the relay goes on with memory only, and tries again"/,
    );
  });
});
