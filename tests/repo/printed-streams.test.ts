import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

/** The key of the commands, which is that of the demo. */
const SDK_KEY = "secret-demo";
/** The address of the HTTP port in them. */
const ADDRESS = "http://localhost:8000";

/** Returns the commands with curl in the shell blocks of a page; with its continuation lines, each is one command. */
function curlCommands(page: string): string[] {
  const text = readFileSync(join(import.meta.dir, "../..", page), "utf8");
  const blocks = Array.from(text.matchAll(/^```sh\n(.*?)^```$/gms), ([, block = ""]) => block);
  return blocks.filter((block) => block.includes(ADDRESS) && block.includes(SDK_KEY)).flatMap(splitCommands);
}

/** Lines of single programs are commands of their own; a block that prepares something is one command. */
function splitCommands(block: string): string[] {
  const lines = block.replaceAll("\\\n", " ").trim().split("\n");
  const isList = lines.every(
    (line) => /^(curl|grpcurl|node) /.test(line) || line === "" || line.startsWith("#"),
  );
  return isList ? lines.filter((line) => line.startsWith("curl ")) : [block];
}

const commands = ["README.md", "docs/protocol.md"].flatMap((page) =>
  curlCommands(page).map((command) => [page, command] as const),
);

const isStream = (command: string) => command.includes("curl -N");
const streams = commands.filter(([, command]) => isStream(command));
const single = commands.filter(([, command]) => !isStream(command));

describeWith("curl")("a command that a page prints", () => {
  const owned = new AsyncDisposableStack();
  let upstream: Upstream;
  let relay: RelayProcess;
  let published = 0;
  beforeAll(async () => {
    upstream = owned.use(await startUpstream());
    relay = owned.use(await startRelayProcess({ upstream }));
  }, 30_000);
  afterAll(() => owned.disposeAsync());

  test("is found in each page", () => {
    expect([single.length, streams.length]).toEqual([3, 3]);
  });

  const publishNext = () => publishKey(upstream, SDK_KEY, ++published);
  const start = (command: string) => runShell(command.replaceAll(ADDRESS, relay.httpUrl));

  test.each(single)("of %s prints the config spec: %s", async (_, command) => {
    const version = publishNext();
    await eventually(async () => {
      await using running = start(command);
      expect(await running.exitCode).toBe(0);
      expectPrinted(running.printed(), version);
    });
  });

  test.each(streams)("of %s prints the config spec, and an update: %s", async (_, command) => {
    const first = publishNext();
    await using running = start(command);
    await eventually(() => expectPrinted(running.printed(), first));
    const second = publishNext();
    await eventually(() => expectPrinted(running.printed(), second));
  });
});

function expectPrinted(printed: string, { v1, v2 }: PublishedKey): void {
  // A spec within JSON has its quotes escaped.
  const plain = printed.replaceAll('\\"', '"');
  expect(plain.includes(v1) || plain.includes(v2)).toBe(true);
}

/** Runs a command in a shell of its own, as a user types it. Disposing ends it with all of its processes. */
function runShell(command: string) {
  const child: ChildProcess = spawn("sh", ["-c", command], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  let printed = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  const exitCode = new Promise<number | null>((resolve) => child.once("close", resolve));
  return {
    exitCode,
    printed: () => printed,
    [Symbol.asyncDispose]: async () => {
      // The group of the shell: it was started as the leader of one.
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      await exitCode;
    },
  };
}
