import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/common/free-port.ts";
import { testsWith } from "../support/common/needs.ts";
import { expectProblem, problemsOf } from "../support/relay/doctor.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { tlsArgs } from "../support/relay/relay-with-tls.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { body, startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const GOOD_KEY = "secret-of-the-doctor-1";
let upstream: Upstream;
let folder: string;
let pki: Authority;

beforeAll(async () => {
  pki = new Authority();
  folder = mkdtempSync(join(tmpdir(), "sfp-doctor-"));
  upstream = await startUpstream();
  publishKey(upstream, GOOD_KEY);
});
afterAll(async () => {
  await upstream[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
  pki[Symbol.dispose]();
});

describe("doctor reports no problem", () => {
  test("for a correct set-up, and lists its checks in order", async () => {
    const args = ["doctor", "http", "disabled", "--http-port", "0", "--preload-sdk-keys", GOOD_KEY];
    const env = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
    const { exitCode, stdout } = await runRelay(args, env);
    expect(exitCode).toBe(0);
    const names = [...stdout.matchAll(/^(?:ok|SKIPPED|WARNING) +([A-Za-z]+(?: [a-z]+)?) {2,}/gm)].map(
      ([, name]) => name,
    );
    expect([...new Set(names)]).toEqual([
      ...["configuration", "CPUs", "file descriptors", "DNS", "proxy", "CA", "upstream"],
      ...["blob storage", "SDK keys", "ID lists", "log events"],
      ...[
        "Redis",
        "sinks",
        "debug endpoints",
        "cloud profiler",
        "profiling gate",
        "clock",
        "folders",
        "ports",
      ],
      ...["certificate", "bootstrap files"],
    ]);
    expect(stdout).not.toContain(GOOD_KEY);
  });

  test("while the relay itself uses its ports", async () => {
    await using relay = await startRelayProcess({ upstream, mode: "http" });
    const { port } = new URL(relay.urlOf("http"));
    const env = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
    const args = ["doctor", "http", "disabled", "--bind-address", "127.0.0.1", "--http-port", port];
    const { exitCode, stdout } = await runRelay(args, env);
    expect(stdout).toContain(`--http-port ${port} of 127.0.0.1 is used by a relay with the same settings`);
    expect(exitCode).toBe(0);
  });
});

describe("doctor reports a problem and its fix", () => {
  test("an invalid configuration", async () => {
    const problems = problemsOf(upstream, ["--polling-interval-in-s", "soon"]);
    await expectProblem(
      problems,
      "configuration",
      /invalid value "soon" for --polling-interval-in-s/,
      /--help lists every option/,
    );
  });

  test("more serving threads than CPUs", async () => {
    const threads = String(Math.min(64, availableParallelism() + 1));
    const problems = problemsOf(upstream, ["--serving-threads", threads]);
    const detail = new RegExp(`available, --serving-threads ${threads} starts ${threads} of each kind`);
    await expectProblem(problems, "CPUs", detail, /--serving-threads to auto/);
  });

  test("too few open files", async () => {
    const problems = problemsOf(upstream, ["--max-connections", "1000000"]);
    await expectProblem(problems, "file descriptors", /are allowed, 2000256 are needed/, /ulimit -n 2000256/);
  });

  test("a host name that does not resolve", async () => {
    const problems = problemsOf(upstream, [], { STATSIG_ENDPOINT: "http://nowhere.invalid" });
    await expectProblem(problems, "DNS", /^nowhere\.invalid does not resolve/, /STATSIG_ENDPOINT/);
  });

  test("a proxy that accepts no connections", async () => {
    const port = await freePort();
    const problems = problemsOf(upstream, [], {
      HTTP_PROXY: `http://127.0.0.1:${port}`,
      NO_PROXY: "none.invalid",
    });
    await expectProblem(
      problems,
      "proxy",
      /of HTTP_PROXY accepts no connections \(ECONNREFUSED\)/,
      /unset HTTP_PROXY/,
    );
  });

  test("CA certificates that are not readable", async () => {
    const problems = problemsOf(upstream, [], { NODE_EXTRA_CA_CERTS: join(folder, "missing.pem") });
    await expectProblem(problems, "CA", /missing\.pem" is unusable/, /PEM file/);
  });

  test("an upstream that is not listening", async () => {
    const problems = problemsOf(upstream, [], { STATSIG_ENDPOINT: `http://127.0.0.1:${await freePort()}` });
    await expectProblem(problems, "upstream", /is unreachable: connection refused/, /STATSIG_ENDPOINT/);
  });

  test("an upstream whose certificate is not trusted", async () => {
    await using secure = await startUpstream({ tls: { ...pemOf(pki.issue()), http: "1.1" } });
    const problems = problemsOf(upstream, [], { STATSIG_ENDPOINT: secure.url });
    await expectProblem(problems, "upstream", /the certificate is not trusted/, /NODE_EXTRA_CA_CERTS/);
  });

  test("an SDK key that upstream rejects", async () => {
    const problems = problemsOf(upstream, ["--preload-sdk-keys", `${GOOD_KEY},secret-nobody-has-this`]);
    await expectProblem(
      problems,
      "SDK keys",
      /^secret-nob\*\w{6} is rejected by upstream \(401\)/,
      /server SDK key/,
    );
  });

  test("an upstream that sends no config specs", async () => {
    await using other = await startUpstream();
    other.misbehave(body("<html>welcome</html>"));
    const env = { STATSIG_ENDPOINT: other.url };
    const problems = problemsOf(upstream, ["--preload-sdk-keys", GOOD_KEY], env);
    await expectProblem(problems, "SDK keys", /upstream sent an invalid config spec/, /STATSIG_ENDPOINT/);
  });

  test("a clock that is behind", async () => {
    const server = createServer((_, response) => {
      response.sendDate = false;
      response.setHeader("date", new Date(Date.now() + 600_000).toUTCString()).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expectProblem(
      problemsOf(upstream, [], { STATSIG_ENDPOINT: url }),
      "clock",
      // Less by what the check takes.
      /^(59\d|600) s behind/,
      /NTP/,
    );
    server.close();
  });

  test("a port that another program uses", async () => {
    await using taken = await startUpstream();
    const { port } = new URL(taken.url);
    const problems = problemsOf(upstream, [
      "--http-port",
      port,
      "--grpc-port",
      "0",
      "--bind-address",
      "127.0.0.1",
    ]);
    await expectProblem(
      problems,
      "ports",
      new RegExp(`--http-port ${port} of 127.0.0.1 is in use`),
      /ss -ltnp/,
    );
  });

  test("an address that does not exist on this machine", async () => {
    const args = ["doctor", "http", "disabled", "--json", "--bind-address", "192.0.2.1"];
    const { stdout, exitCode } = await runRelay(args, { STATSIG_ENDPOINT: upstream.url });
    expect(exitCode).toBe(1);
    expect(stdout).toContain("of 192.0.2.1: this machine has no such address");
  });

  test("a folder that is not writable", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const problems = problemsOf(upstream, ["--local-cache-path", join(file, "cache")], {}, "local");
    await expectProblem(problems, "folders", /is not writable \(ENOTDIR\)/, /--local-cache-path/);
  });

  test("a certificate of another key, and one that is about to expire", async () => {
    const [one, other] = [pki.issue(), pki.issue()];
    const mixed = problemsOf(upstream, tlsArgs({ certPath: one.certPath, keyPath: other.keyPath }));
    await expectProblem(mixed, "certificate", /does not belong to the certificate/, /belong together/);
    const ending = problemsOf(upstream, tlsArgs(pki.issue({ validDays: [-1, 3] })));
    await expectProblem(ending, "certificate", /^valid for [23] more days/, /renew/);
  });

  test("plaintext ports beside TLS", async () => {
    const args = tlsArgs(pki.issue());
    const problems = problemsOf(upstream, args);
    await expectProblem(problems, "certificate", /^the plaintext ports are open as well$/, /--enforce-tls/);
    expect(await problemsOf(upstream, [...args, "--enforce-tls"])).toEqual([]);
  });

  test("a chain in the wrong order", async () => {
    const leaf = pki.issue();
    const certPath = join(folder, "chain.pem");
    writeFileSync(certPath, readFileSync(leaf.certPath, "utf8") + readFileSync(pki.issue().certPath, "utf8"));
    const problems = problemsOf(upstream, tlsArgs({ certPath, keyPath: leaf.keyPath }));
    await expectProblem(problems, "certificate", /the chain breaks at certificate 2/, /order/);
  });
});

test.each<[string, readonly string[], RegExp]>([
  [
    "on all addresses",
    ["--management-port", "8123", "--debug-endpoints"],
    /^curl -fOJ -X POST http:\/\/127\.0\.0\.1:8123\/debug\/profile takes .* http:\/\/127\.0\.0\.1:8123\/debug\/heap one of memory$/,
  ],
  [
    "on an address of IPv6",
    ["--management-port", "8123", "--management-address", "::1", "--debug-endpoints"],
    /^curl -fOJ -X POST http:\/\/\[::1\]:8123\/debug\/profile /,
  ],
  ["off", ["--management-port", "8123"], /^--debug-endpoints is not set/],
  [
    "without a management port",
    ["--management-port", "0", "--debug-endpoints"],
    /management port, which is off$/,
  ],
])("says how profiles are taken: %s", async (_, args, detail) => {
  await using upstream = await startUpstream();
  const env = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  const { stdout } = await runRelay(["doctor", "--json", "http", "disabled", ...args], env);
  const { checks } = JSON.parse(stdout) as { readonly checks: readonly { name: string; detail: string }[] };
  expect(checks.find(({ name }) => name === "debug endpoints")?.detail).toMatch(detail);
});
