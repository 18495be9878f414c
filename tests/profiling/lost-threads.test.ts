import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { threadsOf } from "../support/profiling/decoded-profile.ts";
import { takeProfile } from "../support/profiling/profiled-relay.ts";
import { startThreadsRelay, type ThreadsRelay } from "../support/serving/threads-relay.ts";

let started: ThreadsRelay;
beforeAll(async () => {
  started = await startThreadsRelay({ args: ["--debug-endpoints"] });
});
afterAll(() => started[Symbol.asyncDispose]());

const MISSING = "no reply from thread http-2";

/** A thread is ended after 5 s without a sign of life. */
const REPLACED = { withinMs: 60_000, everyMs: 200 };

/** Opens a connection to each thread of the HTTP port, and returns that of `http-2`. */
async function openSecond() {
  const [, second] = await started.openHttp();
  if (second === undefined) throw new Error("no connection to http-2");
  return second;
}

/** Each test leaves the relay so. */
const expectComplete = () =>
  eventually(async () => {
    const profile = await takeProfile(started.managed.url, "heap");
    expect(profile.comments).toEqual([]);
    expect(threadsOf(profile)).toContain("http-2");
  }, REPLACED);

describe.each(["profile?seconds=1", "heap"])("/debug/%s", (path) => {
  test("leaves out a thread that hangs, names it, and has it again once it is replaced", async () => {
    await (await openSecond()).hang();
    const profile = await takeProfile(started.managed.url, path);
    expect(profile.comments).toEqual([MISSING]);
    expect(threadsOf(profile)).not.toContain("http-2");
    if (path === "heap")
      expect(threadsOf(profile)).toEqual(expect.arrayContaining(["main", "http-1", "http-3"]));
    await expectComplete();
    const lines = started.relay.output().split("\n");
    expect(
      lines.filter((line) => line.includes("profile taken") && line.includes("missing=http-2")),
    ).not.toEqual([]);
  }, 120_000);
});

test.each(["hang", "exit"] as const)(
  "a CPU profile is returned without a thread that does this meanwhile: %s",
  async (command) => {
    const second = await openSecond();
    const taken = takeProfile(started.managed.url, "profile?seconds=5");
    // The roll is called, and the samplers wake up, in the first half second. As much time is left until the end.
    await Bun.sleep(2_500);
    if (command === "hang") await second.hang();
    else second.command(command);
    expect((await taken).comments).toEqual([MISSING]);
    await expectComplete();
  },
  120_000,
);
