import { expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { HealthServer } from "../support/deploy/health-server.ts";
import { runRelay } from "../support/relay/relay-process.ts";

/** The defaults of a second are too short for a busy machine. */
const PATIENT = ["-connect-timeout=15s", "-rpc-timeout=15s"];

const probe = (...args: readonly string[]) => runRelay(args, {}, "/usr/local/bin/grpc-health-probe");

// tests/drop-in/probe.rows.ts has the flags, exit codes and messages.

test("sends the service, the user agent and headers, compressed", async () => {
  using server = await HealthServer.start("SERVING");
  const headers = ["-rpc-header=team: platform", "-rpc-header", "zone:a:b"];
  const flags = [`-addr=127.0.0.1:${server.port}`, "-service=a.B", "-user-agent=kubelet", "-gzip"];
  expect((await probe(...flags, ...headers, ...PATIENT)).exitCode).toBe(0);
  const [call, ...others] = server.calls;
  expect(others).toEqual([]);
  expect(call?.request.service).toBe("a.B");
  expect(call?.metadata.getMap()).toMatchObject({ "user-agent": "kubelet", team: "platform", zone: "a:b" });
});

test("prints to standard error only", async () => {
  using server = await HealthServer.start("SERVING");
  const run = await probe(`-addr=127.0.0.1:${server.port}`, ...PATIENT);
  expect(run).toEqual({ exitCode: 0, stdout: "", stderr: "status: SERVING\n" });
});

test("waits for a server that starts within -connect-timeout", async () => {
  const port = await freePort();
  const running = probe(`-addr=127.0.0.1:${port}`, ...PATIENT);
  await Bun.sleep(300);
  using _ = await HealthServer.start("SERVING", port);
  expect((await running).exitCode).toBe(0);
});

test("uses no proxy of the environment", async () => {
  using server = await HealthServer.start("SERVING");
  const proxy = "http://127.0.0.1:1";
  const env = { HTTP_PROXY: proxy, http_proxy: proxy, ALL_PROXY: proxy, grpc_proxy: proxy };
  const run = await runRelay([`-addr=127.0.0.1:${server.port}`, ...PATIENT], env, "grpc-health-probe");
  expect(run.exitCode).toBe(0);
});
