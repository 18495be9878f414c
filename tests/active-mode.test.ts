import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { startEventRelay } from "./support/event-relay.ts";
import { describeWith } from "./support/needs.ts";
import { Output } from "./support/output.ts";
import { specV1, specV2 } from "./support/payloads.ts";
import { revision } from "./support/revisions.ts";
import { eventually, within } from "./support/wait.ts";

const sdkKey = "secret-active-mode";

/** A shipped example in a Node process of its own, as somebody would run it who follows the docs. */
function runExample(name: string, env: Readonly<Record<string, string>>) {
  const path = fileURLToPath(new URL(`../examples/${name}.mjs`, import.meta.url));
  const child = spawn("node", [path, "gate_public"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = new Output(child.stdout);
  return {
    lastLine: () => output.text.trimEnd().split("\n").at(-1),
    async stop() {
      const closed = once(child, "close");
      child.kill("SIGTERM");
      await within(closed, 10_000, "the example to end");
      return child.exitCode;
    },
    [Symbol.dispose]: () => child.kill("SIGKILL"),
  };
}

describeWith("node")("the examples of docs/active-mode.md", () => {
  test.each(["statsig-node-relay", "statsig-node-core-relay", "statsig-node-core-stream"])(
    "%s evaluates what the relay has, follows a change, and its events reach upstream",
    async (name) => {
      await using setup = await startEventRelay({ mode: "grpc-and-http", args: ["-p", "1"] });
      const publish = (number: number) => {
        setup.upstream.publish(sdkKey, "v1", specV1(revision(sdkKey, number)));
        setup.upstream.publish(sdkKey, "v2", specV2(revision(sdkKey, number)));
      };
      publish(0);
      using example = runExample(name, {
        STATSIG_SERVER_SDK_KEY: sdkKey,
        RELAY_URL: setup.relay.httpUrl,
        RELAY_GRPC_URL: setup.relay.urlOf("grpc"),
      });
      await eventually(() => expect(example.lastLine()).toBe("gate_public true"), { withinMs: 15_000 });
      publish(1);
      await eventually(() => expect(example.lastLine()).toBe("gate_public false"), { withinMs: 15_000 });
      expect(await example.stop()).toBe(0);
      await eventually(() => {
        const names = setup.forwarded(sdkKey).flatMap(({ events }) => events as { eventName: string }[]);
        expect(names.map(({ eventName }) => eventName)).toContain("example_started");
      });
    },
    60_000,
  );
});
