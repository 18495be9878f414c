import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** Listens on a datagram socket as systemd does, and returns the environment for the relay. */
function startManager(name?: string) {
  const folder = mkdtempSync(join(tmpdir(), "sfp-notify-"));
  const listener = new UnixDatagramListener(name ?? join(folder, "notify"));
  return {
    listener,
    env: { NOTIFY_SOCKET: listener.path },
    lines: () => listener.datagrams.flatMap((datagram) => datagram.split("\n")),
    [Symbol.dispose]: () => {
      listener[Symbol.dispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Reads CLOCK_MONOTONIC in another process: `process.hrtime` of Node is that clock. */
function machineUsec(): bigint {
  const script = "process.stdout.write(String(process.hrtime.bigint() / 1000n))";
  return BigInt(execFileSync("node", ["-e", script], { encoding: "utf8" }));
}

const PATIENCE = { withinMs: 15_000 };

const count = (lines: readonly string[], line: string) => lines.filter((each) => each === line).length;

describe("the service manager", () => {
  test("is notified that the relay is ready and that it stops", async () => {
    using manager = startManager();
    await using relay = await startRelayProcess({ env: manager.env });
    await eventually(() => expect(manager.listener.datagrams).toEqual(["READY=1\nSTATUS=ready"]), PATIENCE);
    expect((await rawGet(`${relay.httpUrl}/v1/ready`)).status).toBe(200);
    expect(await relay.stop()).toBe(0);
    manager.listener.read();
    expect(manager.listener.datagrams.slice(1)).toEqual(["STOPPING=1\nSTATUS=not ready: draining"]);
  });

  test("is notified that it stops when its shutdown delay begins, and that it is alive until the end", async () => {
    using manager = startManager();
    const args = ["--shutdown-delay-in-s", "600"];
    const env = { ...manager.env, WATCHDOG_USEC: "200000" };
    await using relay = await startRelayProcess({ env, args });
    relay.signal("SIGTERM");
    const stopping = ["STOPPING=1", "STATUS=not ready: draining"];
    await eventually(() => expect(manager.lines()).toEqual(expect.arrayContaining(stopping)), PATIENCE);
    const alive = count(manager.lines(), "WATCHDOG=1");
    await eventually(() => expect(count(manager.lines(), "WATCHDOG=1")).toBeGreaterThan(alive + 2), PATIENCE);
    expect((await rawGet(`${relay.httpUrl}/v1/health`)).status).toBe(200);
    expect(await relay.stop()).toBe(0);
    manager.listener.read();
    expect(count(manager.lines(), "STOPPING=1")).toBe(1);
  });

  test("is notified that the relay runs without config, and why it is not ready", async () => {
    using manager = startManager();
    await using upstream = await startUpstream();
    const args = ["--preload-sdk-keys", "secret-service-manager"];
    const env = { ...manager.env, WATCHDOG_USEC: "200000" };
    await using _ = await startRelayProcess({ upstream, args, env });
    const reason = expect.stringMatching(
      /^STATUS=not ready: 1 of 1 preloaded keys have no data yet: secret-ser\*/,
    );
    await eventually(() => expect(manager.lines().slice(0, 2)).toEqual(["READY=1", reason]), PATIENCE);
    publishKey(upstream, "secret-service-manager");
    await eventually(() => expect(manager.lines()).toContain("STATUS=ready"), PATIENCE);
    expect(manager.lines().filter((line) => line.startsWith("STATUS="))).toHaveLength(2);
  });

  test.skipIf(process.platform !== "linux")("is notified on an abstract socket", async () => {
    using manager = startManager(`@sfp-notify-${process.pid}-${Date.now()}`);
    await using _ = await startRelayProcess({ env: manager.env });
    await eventually(() => expect(manager.lines()).toContain("READY=1"), PATIENCE);
  });

  test("is notified of a reload with the monotonic time, and of its end", async () => {
    using manager = startManager();
    await using relay = await startRelayProcess({ env: manager.env });
    for (let reload = 1; reload <= 2; reload++) {
      const before = machineUsec();
      relay.signal("SIGHUP");
      await eventually(() => expect(manager.listener.datagrams).toHaveLength(1 + 2 * reload), PATIENCE);
      const after = machineUsec();
      const [reloading = "", done] = manager.listener.datagrams.slice(-2);
      const [, usec = ""] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading) ?? [];
      expect(BigInt(usec)).toBeGreaterThanOrEqual(before);
      expect(BigInt(usec)).toBeLessThanOrEqual(after);
      expect(done).toBe("READY=1");
    }
  });

  test("is notified again when its socket is back", async () => {
    using manager = startManager();
    const { path } = manager.listener;
    manager.listener[Symbol.dispose]();
    await using relay = await startRelayProcess({ env: { ...manager.env, WATCHDOG_USEC: "200000" } });
    const logged = () =>
      relay.output().match(/WARN {2}service manager notification failed reason=.*ENOENT/g) ?? [];
    await eventually(() => expect(logged()).toHaveLength(1), PATIENCE);
    // Time for more of them.
    await sleep(300);
    expect((await rawGet(`${relay.httpUrl}/v1/ready`)).status).toBe(200);
    expect(logged()).toHaveLength(1);
    using later = new UnixDatagramListener(path);
    await eventually(() => expect(later.datagrams).toContain("READY=1\nWATCHDOG=1\nSTATUS=ready"), PATIENCE);
  });
});

describe("the watchdog", () => {
  test("is notified twice per interval, and not while the process is stopped", async () => {
    using manager = startManager();
    await using relay = await startRelayProcess({ env: { ...manager.env, WATCHDOG_USEC: "400000" } });
    await eventually(() => expect(count(manager.lines(), "WATCHDOG=1")).toBeGreaterThan(3), PATIENCE);
    relay.signal("SIGSTOP");
    await sleep(100);
    const before = count(manager.lines(), "WATCHDOG=1");
    await sleep(1_000);
    expect(count(manager.lines(), "WATCHDOG=1")).toBe(before);
    relay.signal("SIGCONT");
    await eventually(() => expect(count(manager.lines(), "WATCHDOG=1")).toBeGreaterThan(before), PATIENCE);
  });

  test("is not notified if WATCHDOG_PID is another process", async () => {
    using manager = startManager();
    const env = { ...manager.env, WATCHDOG_USEC: "100000", WATCHDOG_PID: "1" };
    await using _ = await startRelayProcess({ env });
    await eventually(() => expect(manager.lines()).toEqual(["READY=1", "STATUS=ready"]), PATIENCE);
    await sleep(300);
    expect(manager.lines()).toEqual(["READY=1", "STATUS=ready"]);
  });
});

test.each([
  ["NOTIFY_SOCKET", "notify.sock", "the path of a Unix datagram socket, or @ and a name"],
  ["NOTIFY_SOCKET", `/${"n".repeat(200)}`, "the path of a Unix datagram socket, or @ and a name"],
  ["WATCHDOG_USEC", "soon", "a whole number of microseconds"],
])("rejects %s=%p with one line", async (variable, value, allowed) => {
  const env = { NOTIFY_SOCKET: "/run/notify", [variable]: value };
  const { exitCode, stderr } = await runRelay(["http", "disabled"], env);
  expect([exitCode, stderr]).toEqual([
    2,
    `error: invalid value "${value}" for ${variable} (expected ${allowed})\n`,
  ]);
});
