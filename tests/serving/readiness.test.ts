import { expect, test } from "bun:test";
import { faultEnv } from "../support/common/fault-injection.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** Longer than a thread may hang before it is replaced. */
const REPLACED = { withinMs: 30_000, everyMs: 100 };

test("the relay is not ready while no thread serves a port", async () => {
  await using upstream = await startUpstream();
  const env = faultEnv({ kind: "worker", script: "serving-worker", how: "hang", afterMs: "SIGUSR2" });
  await using managed = await startManagedRelay({ upstream, mode: "http", env });
  expect((await managed.get("/readyz")).status).toBe(200);
  managed.relay.signal("SIGUSR2");
  await eventually(async () => {
    const { status, body } = await managed.get("/readyz");
    expect([status, body.toString()]).toEqual([
      503,
      expect.stringContaining("no thread serves the http port"),
    ]);
  }, REPLACED);
  await eventually(async () => expect((await managed.get("/readyz")).status).toBe(200), REPLACED);
}, 60_000);
