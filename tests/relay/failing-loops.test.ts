import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type Fault, faultEnv } from "../support/common/fault-injection.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { TokenAuthority } from "../support/redis/token-authority.ts";
import { KeyFile } from "../support/relay/access.ts";
import { CertificateFiles } from "../support/relay/certificate-files.ts";
import {
  counted,
  expectNoSecrets,
  folderOf,
  KEY,
  linesWith,
  serves,
  WAIT,
} from "../support/relay/faulty-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { tlsArgs } from "../support/relay/relay-with-tls.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { UdpListener } from "../support/telemetry/udp-listener.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

/** Starts a relay whose rounds of polls throw this many times. */
const startWithFailingPolls = (upstream: Upstream, times: number) =>
  startManagedRelay({
    upstream,
    args: ["--preload-sdk-keys", KEY],
    env: faultEnv({ kind: "call", api: "AbortSignal.throwIfAborted", within: "specs/poller.ts", times }),
  });

describe("a loop that throws", () => {
  test("continues after a delay, logs one line, counts every error and is a problem while it fails", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startWithFailingPolls(upstream, 6);
    await reported(managed, (report) => {
      expect(report.state).not.toBe("ok");
      expect(problemsOf(report)).toContainEqual([
        "unexpected_error",
        "Unexpected errors in spec polls: it is retried",
      ]);
    });
    await reported(managed, (report) => expect(report.problems).toEqual([]), WAIT.withinMs);
    expect(await counted(managed, "spec_polls")).toBe(6);
    const [begins = "", ends = "", ...more] = linesWith(managed, "background loop");
    expect(begins).toContain("WARN  unexpected error in background loop, retrying loop=spec_polls");
    expect(begins).toContain("at=");
    expect(ends).toContain("INFO  background loop recovered loop=spec_polls");
    expect(more).toEqual([]);
    expectNoSecrets(managed);
    await serves(managed, publishKey(upstream, KEY, 1).lcut);
  }, 60_000);

  test("ends promptly when the relay stops, even if it never recovers", async () => {
    await using upstream = await startUpstream();
    await using managed = await startWithFailingPolls(upstream, 1_000);
    await eventually(async () => expect(await counted(managed, "spec_polls")).toBeGreaterThan(5), WAIT);
    expect(await managed.relay.stop()).toBe(0);
  }, 60_000);

  describeWith("openssl", "redis-server")("each loop", () => {
    /** For each loop a call in its code, which is made to throw twice. */
    const LOOPS: Readonly<Record<string, Pick<Extract<Fault, { kind: "call" }>, "api" | "within">>> = {
      backup_upkeep: { api: "AbortController", within: "#round .*backup-keep-alive" },
      certificate_expiry: { api: "AbortSignal.throwIfAborted", within: "server/certificate-watch.ts" },
      event_forwarding: { api: "Date.now", within: "log-events/forwarder.ts" },
      file_watch: { api: "AbortController", within: "#idleFor .*file-watch" },
      id_list_polls: { api: "Math.random", within: "id-lists/refresh.ts" },
      metric_push: { api: "AbortSignal.throwIfAborted", within: "push/push-loop.ts" },
      redis_write_probe: { api: "AbortController", within: "#round .*write-probe" },
      redis_subscription: { api: "AbortController", within: "watchClosed .*subscriber" },
      redis_token: { api: "AbortController", within: "requestToken .*entra" },
      request_rates: { api: "AbortSignal.throwIfAborted", within: "status/rates.ts" },
      service_manager: { api: "AbortSignal.throwIfAborted", within: "telemetry/systemd.ts" },
      spec_polls: { api: "AbortSignal.throwIfAborted", within: "specs/poller.ts" },
    };

    test("continues", async () => {
      await using owned = new AsyncDisposableStack();
      using folders = new DisposableStack();
      const upstream = owned.use(await startUpstream());
      publishKey(upstream, KEY);
      const redis = owned.use(await RedisServer.start());
      const authority = owned.use(new Authority());
      const certificates = owned.use(new CertificateFiles());
      certificates.inPlace(authority.issue(), authority.caPath);
      const tokens = owned.use(new TokenAuthority(pemOf(authority.issue())));
      tokens.onToken = async (token) => {
        await redis.cli("ACL", "SETUSER", "relay", "on", `>${token}`, "~*", "&*", "+@all");
      };
      const allowed = owned.use(new KeyFile([KEY]));
      const agent = owned.use(await UdpListener.start());
      const notify = owned.use(new UnixDatagramListener(join(folderOf(folders), "notify")));
      const faults = Object.values(LOOPS).map((each) => ({ kind: "call", times: 2, ...each }) as const);
      const managed = owned.use(
        await startManagedRelay({
          upstream,
          cache: "redis",
          args: [
            ...tlsArgs(certificates),
            ...["--enforce-tls", "false", "--allowed-sdk-keys", `@${allowed.path}`, "--fleet-polling"],
            ...["--preload-sdk-keys", KEY, "--statsd-logging"],
          ],
          env: {
            ...faultEnv(...faults),
            REDIS_URL: `redis://127.0.0.1:${redis.port}`,
            ...{
              REDIS_AUTH_MODE: "oauth",
              REDIS_OAUTH_ALLOW_PLAINTEXT: "true",
              REDIS_OAUTH_USERNAME: "relay",
            },
            ...{ REDIS_OAUTH_TENANT_ID: "t", REDIS_OAUTH_CLIENT_ID: "c", REDIS_OAUTH_SCOPE: "s" },
            ...{ REDIS_OAUTH_CLIENT_SECRET: "s3cret", REDIS_OAUTH_AUTHORITY_HOST: tokens.url },
            NODE_EXTRA_CA_CERTS: authority.caPath,
            STATSD_PORT_OVERRIDE: String(agent.port),
            DATADOG_MAX_BATCH_TIME_MS: "500",
            NOTIFY_SOCKET: notify.path,
            LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
          },
        }),
      );
      await fetch(`${managed.relay.httpUrl}/v1/get_id_lists`, {
        method: "POST",
        headers: { "statsig-api-key": KEY },
      });
      await eventually(async () => {
        const samples = await readMetrics(managed.relay);
        const failed = Object.keys(LOOPS).map(
          (component) => [component, sumOf(samples, "UnexpectedError_count_total", { component })] as const,
        );
        expect(Object.fromEntries(failed)).toEqual(
          Object.fromEntries(Object.keys(LOOPS).map((loop) => [loop, 2])),
        );
      }, WAIT);
      await eventually(() => {
        const failing = Object.keys(LOOPS).filter((loop) => {
          return linesWith(managed, `recovered loop=${loop} `).length === 0;
        });
        // It polls once a minute only.
        expect(failing).toEqual(["id_list_polls"]);
      }, WAIT);
      expectNoSecrets(managed);
      // The relay still serves, and applies changes.
      await serves(managed, publishKey(upstream, KEY, 1).lcut);
      allowed.write("secret-another");
      await eventually(() => expect(managed.relay.output()).toContain("allowed SDK keys reloaded"), WAIT);
      expect(await managed.relay.stop()).toBe(0);
    }, 120_000);
  });
});
