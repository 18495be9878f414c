import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
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

/** Lines of curl alone are commands of their own; a block that prepares something is one command. */
function splitCommands(block: string): string[] {
  const lines = block.replaceAll("\\\n", " ").trim().split("\n");
  const isList = lines.every((line) => /^(curl|grpcurl) /.test(line) || line === "" || line.startsWith("#"));
  return isList ? lines.filter((line) => line.startsWith("curl ")) : [block];
}

const commands = ["README.md", "docs/protocol.md"].flatMap((page) =>
  curlCommands(page).map((command) => [page, command] as const),
);

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
    expect(commands.length).toBeGreaterThanOrEqual(6);
    expect(commands.filter(([, command]) => command.includes("curl -N")).length).toBe(3);
  });

  test.each(commands)(
    "of %s prints the config spec, and an update if it is a stream: %s",
    async (_, command) => {
      const isStream = command.includes("curl -N");
      const publishNext = () => publishKey(upstream, SDK_KEY, ++published);
      const versions = [publishNext()];
      let printed = "";
      await using running = runShell(command.replaceAll(ADDRESS, relay.httpUrl), (text) => {
        printed += text;
      });
      const expectPrinted = () =>
        eventually(() => {
          // A spec within JSON has its quotes escaped.
          const plain = printed.replaceAll('\\"', '"');
          for (const { v1, v2 } of versions) expect(plain.includes(v1) || plain.includes(v2)).toBe(true);
        });
      await expectPrinted();
      if (!isStream) {
        expect(await running.exitCode).toBe(0);
        return;
      }
      versions.push(publishNext());
      await expectPrinted();
    },
  );
});

/** Runs a command in a shell of its own, as a user types it. Disposing ends it with all of its processes. */
function runShell(command: string, onText: (text: string) => void) {
  const child: ChildProcess = spawn("sh", ["-c", command], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  child.stdout?.setEncoding("utf8").on("data", onText);
  const exitCode = new Promise<number | null>((resolve) => child.once("close", resolve));
  return {
    exitCode,
    [Symbol.asyncDispose]: async () => {
      // The group of the shell: it was started as the leader of one.
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      await exitCode;
    },
  };
}
