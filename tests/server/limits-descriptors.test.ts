import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { freePort } from "../support/common/free-port.ts";
import { Output } from "../support/common/output.ts";
import { eventually, within } from "../support/common/wait.ts";
import { relayCommand } from "../support/relay/run-relay.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const PATIENCE = { withinMs: 15_000 };
const ASK = "GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** A relay on one port that may open this many files and sockets. */
async function startWithDescriptors(count: number, args: readonly string[] = []) {
  const upstream = await startUpstream();
  const child = spawn(
    "sh",
    [
      "-c",
      'ulimit -n "$0" && exec "$@"',
      String(count),
      ...relayCommand(),
      ...["--bind-address", "127.0.0.1", "--http-port", "0", ...args, "http", "disabled"],
    ],
    {
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: process.env["HOME"] ?? "/",
        SFP_MANAGEMENT_PORT: String(await freePort()),
        STATSIG_ENDPOINT: upstream.url,
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const output = new Output(child.stdout, child.stderr);
  const addressOf = (protocol: string) =>
    output.until((text) => new RegExp(`protocol=${protocol} address=(\\S+)`).exec(text)?.[1]);
  const exited = once(child, "exit");
  return {
    output,
    exited,
    url: () => addressOf("http"),
    managementUrl: () => addressOf("management"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
      await upstream[Symbol.asyncDispose]();
    },
  };
}

describe("the system's limit of open files", () => {
  test.each([100, 256])("%i are too few: startup fails, and names the limit to raise", async (count) => {
    await using relay = await startWithDescriptors(count);
    const [code] = await within(relay.exited, 20_000, "exit");
    expect(code).toBe(1);
    expect(relay.output.text).toContain(
      `the system allows ${count} open files, and the relay needs 320: raise the limit (ulimit -n;`,
    );
    expect(relay.output.text).not.toMatch(/^\s+at /m);
  });

  test("a few: that many connections are served, repeatedly, and one more is rejected", async () => {
    const room = 70;
    await using relay = await startWithDescriptors(256 + room);
    const url = await relay.url();
    expect(relay.output.text).toContain(`connections_per_port=${room}`);
    for (let time = 0; time < 3; time++) {
      using stack = new DisposableStack();
      const open = async () => stack.use(await RawConnection.open(url));
      const connections = await Promise.all(Array.from({ length: room }, open));
      for (const connection of connections) connection.write(ASK);
      await eventually(() => {
        expect(connections.map(({ statuses }) => statuses[0])).toEqual(Array(room).fill(200));
      }, PATIENCE);
      const { status, text } = await ready(await relay.managementUrl());
      expect([status, text]).toEqual([503, expect.stringContaining("has reached its limit of connections")]);
      const beyond = await open().catch(() => undefined);
      beyond?.write(ASK);
      if (beyond !== undefined) await beyond.closed(15_000);
      expect(beyond?.statuses ?? []).toEqual([]);
      stack.dispose();
      await eventually(async () => {
        const url = await relay.managementUrl();
        const metrics = await (await fetch(`${url}/metrics`)).text();
        expect(metrics).toContain('statsig_forward_proxy_Connections_gauge{protocol="http"} 0\n');
        expect((await ready(url)).status).toBe(200);
      }, PATIENCE);
    }
  });

  test("Debian's limit for services, with the defaults: no warning", async () => {
    await using relay = await startWithDescriptors(10_000);
    await relay.url();
    await relay.output.until((text) => (text.includes(" serving ") ? text : undefined));
    expect(relay.output.text).not.toContain("WARN");
  });

  test("fewer than configured: a warning", async () => {
    await using relay = await startWithDescriptors(10_000, ["--max-connections", "20000"]);
    await relay.output.until((text) => (text.includes(" serving ") ? text : undefined));
    expect(relay.output.text).toContain("connections_per_port=9744");
  });
});

async function ready(managementUrl: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${managementUrl}/readyz`);
  return { status: response.status, text: await response.text() };
}
