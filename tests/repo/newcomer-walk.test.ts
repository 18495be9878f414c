import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { FreshClone } from "../support/repo/fresh-clone.ts";
import { readCommands } from "../support/repo/readme-commands.ts";
import { followCommand, stopServer, type Walk } from "../support/repo/readme-rules.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const commands = readCommands("README.md");
const FIRST_ANSWER_LIMIT_MS = 60_000;
/** Longer than the limits of all rules. */
const TEST_LIMIT_MS = 5 * 60_000;
const SDK_KEY = "secret-of-the-newcomer";

describeWith("node", "curl")("a newcomer who types every command of README in a fresh clone", () => {
  const owned = new AsyncDisposableStack();
  let walk: Walk;
  let startedAtMs = 0;

  beforeAll(async () => {
    const upstream = owned.use(await startUpstream());
    publishKey(upstream, SDK_KEY);
    const clone = owned.use(new FreshClone());
    const [http, grpc, management] = [await freePort(), await freePort(), await freePort()];
    walk = {
      clone,
      // README assumes ports that may be in use here, and Statsig.
      env: {
        SFP_HTTP_PORT: `${http}`,
        SFP_GRPC_PORT: `${grpc}`,
        SFP_MANAGEMENT_PORT: `${management}`,
        RELAY_URL: `http://localhost:${http}`,
        STATSIG_ENDPOINT: upstream.url,
        LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
      },
      replacements: {
        "localhost:8000": `localhost:${http}`,
        "localhost:50051": `localhost:${grpc}`,
        "<YOUR_SERVER_SECRET_KEY>": SDK_KEY,
      },
    };
  }, TEST_LIMIT_MS);
  afterAll(async () => {
    await stopServer(walk);
    await owned.disposeAsync();
  }, TEST_LIMIT_MS);

  test("finds commands in README, first the two that it begins with", () => {
    expect(commands.slice(0, 2)).toEqual(["npm start", "npm test"]);
    expect(existsSync(join(walk.clone.folder, "node_modules"))).toBeFalse();
    startedAtMs = performance.now();
  });

  // In order: each command needs what the ones before it left.
  for (const [at, command] of commands.entries()) {
    test(`${at + 1}: ${command}`, () => followCommand(walk, command), TEST_LIMIT_MS);
    if (at !== commands.findIndex((each) => each.startsWith("curl "))) continue;
    test("gets the first answer within a minute of `npm start`, packages included", () => {
      const tookMs = Math.round(performance.now() - startedAtMs);
      console.log(`first answer after ${tookMs} ms`);
      expect(tookMs).toBeLessThan(FIRST_ANSWER_LIMIT_MS);
    });
  }
});

test("a command that no rule covers fails the walk", async () => {
  const walk = { env: {}, replacements: {} } as Walk;
  await expect(followCommand(walk, "npm run new-script")).rejects.toThrow(
    /no rule of tests\/support\/repo\/readme-rules.ts covers: npm run new-script/,
  );
});
