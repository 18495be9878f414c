import { expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { startOtlpHttp } from "../support/telemetry/otlp-receiver.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const KEYS = ["secret-causes-a-0123456789", "secret-causes-b-0123456789"];
const PRELOAD = ["--preload-sdk-keys", KEYS.join(",")];

/** Resolves when a line has been logged since the output had `from` characters. */
async function untilLogged(relay: RelayProcess, pattern: RegExp, from = 0): Promise<void> {
  const isLogged = () => {
    const isThere = relay
      .output()
      .slice(from)
      .split("\n")
      .some((line) => pattern.test(line));
    if (!isThere) throw new Error(`no ${pattern} in:\n${relay.output()}`);
  };
  await eventually(isLogged, { withinMs: 20_000 });
}

async function startPublishing() {
  const upstream = await startUpstream({ port: await freePort() });
  for (const key of KEYS) publishKey(upstream, key);
  return upstream;
}

test("upstream refuses, answers 500, times out and is back: a line for each cause, and one with length and failures", async () => {
  await using upstream = await startPublishing();
  const args = [...PRELOAD, "--http-request-timeout-in-s", "1"];
  await using relay = await startRelayProcess({ upstream, args });
  // A slow machine may miss the time limit of a request at the start: an outage of its own, which is over when all feeds are there.
  const loaded = () => relay.output().split("config specs loaded ").length - 1;
  await eventually(() => expect(loaded()).toBe(2 * KEYS.length), { withinMs: 20_000 });
  const began = relay.output().length;
  const linesSince = (pattern: RegExp) =>
    relay
      .output()
      .slice(began)
      .split("\n")
      .filter((line) => pattern.test(line));
  await upstream.stop();
  await untilLogged(relay, /WARN {2}upstream (still )?failing.* cause=unreachable /, began);
  upstream.misbehave(status(500));
  await upstream.restart();
  await untilLogged(
    relay,
    /WARN {2}upstream (still )?failing.* cause=status detail="upstream answered 500" /,
    began,
  );
  upstream.misbehave({ kind: "hang" });
  await untilLogged(relay, /WARN {2}upstream (still )?failing.* cause=timeout /, began);
  upstream.behave();
  await untilLogged(relay, /INFO {2}upstream recovered /, began);
  const recovered = linesSince(/upstream recovered/);
  expect(recovered.at(-1)).toMatch(/cause="[^"]*timeout[^"]*" for_s=\d+ failures=\d+$/);
  // Both keys fail alike, so there is one line for each cause unless the outage lasts for more than a minute.
  const causes = linesSince(/WARN {2}upstream/).map((line) => /cause=(\S+)/.exec(line)?.[1]);
  for (const cause of ["unreachable", "status", "timeout"])
    expect(causes.filter((each) => each === cause)).toHaveLength(1);
}, 90_000);

test("an OTLP collector that is gone, rejects the data and is back: a line for each cause", async () => {
  await using upstream = await startPublishing();
  const first = await startOtlpHttp({ port: await freePort() });
  await using relay = await startRelayProcess({
    upstream,
    args: ["--otlp-logging"],
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: first.url,
      OTEL_METRIC_EXPORT_INTERVAL: "500",
      OTEL_EXPORTER_OTLP_TIMEOUT: "500",
    },
  });
  await eventually(() => expect(first.requests).toBeGreaterThan(0), { withinMs: 20_000 });
  const { port } = first;
  // A slow machine may miss the time limit of an export at the start.
  const worked = relay.output().length;
  await first[Symbol.asyncDispose]();
  await untilLogged(relay, /WARN {2}metric export failing sink=otlp /, worked);
  await using second = await startOtlpHttp({ port });
  second.behavior = 403;
  await untilLogged(
    relay,
    /WARN {2}metric export still failing sink=otlp detail="the collector answered 403" /,
  );
  second.behavior = undefined;
  // Between the two, it may miss the limit as well.
  await untilLogged(
    relay,
    /INFO {2}metric export recovered detail="[^"]*answered 403[^"]*" .*for_s=\d+ failures=\d+$/,
  );
}, 60_000);

describeWith("redis-server", "redis-cli")("Redis", () => {
  const RULES = ["ACL", "SETUSER", "relay", "on", ">pass", "~*", "&*", "+@all"];

  test("is killed, rejects the login and is back: a line for each cause, and one with the length", async () => {
    await using upstream = await startPublishing();
    await using redis = await RedisServer.start();
    await redis.cli(...RULES);
    const env = { REDIS_URL: `redis://relay:pass@127.0.0.1:${redis.port}` };
    await using relay = await startRelayProcess({ upstream, cache: "redis", args: PRELOAD, env });
    const worked = relay.output().length;
    await redis.kill();
    await untilLogged(relay, /WARN {2}Redis unavailable, serving from memory reason=/);
    await untilLogged(relay, /WARN {2}Redis (unavailable|still).* reason="connection refused"/);
    await redis.restart();
    await untilLogged(
      relay,
      /WARN {2}Redis still unavailable reason="Redis rejects this user and password" for_s=/,
    );
    await redis.cli(...RULES);
    await untilLogged(
      relay,
      /INFO {2}Redis available again reason=".*rejects this user and password" for_s=\d+/,
    );
    expect(relay.output().slice(worked).split("Redis available again")).toHaveLength(2);
  }, 60_000);

  test("is full, becomes a read-only replica and is back: a line for each cause, and one with the length", async () => {
    await using upstream = await startPublishing();
    await using redis = await RedisServer.start();
    await using primary = await RedisServer.start();
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    await using relay = await startRelayProcess({ upstream, cache: "redis", args: PRELOAD, env });
    await redis.cli("CONFIG", "SET", "maxmemory", "1");
    await untilLogged(
      relay,
      /WARN {2}Redis rejects writes, backup going stale reason="Redis is out of memory"/,
    );
    await redis.cli("REPLICAOF", "127.0.0.1", String(primary.port));
    await untilLogged(relay, /WARN {2}Redis still rejects writes reason="this Redis is read-only" for_s=/);
    await redis.cli("REPLICAOF", "NO", "ONE");
    await redis.cli("CONFIG", "SET", "maxmemory", "0");
    await untilLogged(
      relay,
      /INFO {2}Redis accepts writes again reason="Redis is out of memory, .*" for_s=\d+/,
    );
  }, 60_000);
});
