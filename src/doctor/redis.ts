import { randomBytes } from "node:crypto";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { TokenLogins } from "../redis/auth/token-logins.ts";
import { RedisBackup } from "../redis/backup.ts";
import { RedisConnection } from "../redis/connection.ts";
import { RedisFailure } from "../redis/errors.ts";
import type { RedisEvent } from "../redis/events.ts";
import { RedisNotices } from "../redis/fleet.ts";
import type { RedisKeySchema, RedisKeys } from "../redis/keys.ts";
import { describeAddress, type RedisOptions } from "../redis/options.ts";
import { frameSpec } from "../specs/payload/grpc-frame.ts";
import { digestBytes, type Snapshot } from "../specs/snapshot.ts";
import { type Check, type CheckResult, failed, ok, skipped, warning } from "./check.ts";

interface RedisToCheck {
  readonly connection: RedisOptions;
  readonly schemas: readonly RedisKeySchema[];
  readonly doubleWriteLegacy: boolean;
  readonly fleetPolling: boolean;
  readonly clock: Clock;
}

/** Returns fixes by the message of a failure, since an error of a closed connection no longer has the code of Redis. */
const listFixes = ({ ofEntries, ofRelays }: RedisKeys): readonly (readonly [RegExp, string])[] => [
  [
    /asks for a password|user and password/,
    "correct REDIS_ENTERPRISE_USER and REDIS_ENTERPRISE_PASSWORD, or REDIS_OAUTH_USERNAME and the access policy in Azure (docs/redis.md)",
  ],
  [
    /Redis user may not|does not have this command|without EVAL/,
    `ACL SETUSER … +@read +@write +@scripting +@transaction +@connection +@pubsub ~${ofEntries}* &${ofRelays}*`,
  ],
  [/read-only|replica/, "connect to the primary, or to its Sentinels or cluster, instead of a replica"],
  [/out of memory/, "raise maxmemory of Redis, or set an eviction policy"],
  [/can't save/, "make the disk of Redis writable and free space on it, so that Redis can save"],
  [
    /certificate|TLS|SSL/i,
    "correct REDIS_TLS, REDIS_TLS_CA_PATH or the files that they name (docs/redis.md)",
  ],
];

const NOTICE_TIMEOUT_MS = 2_000;

const OTHER_FIX =
  "check that Redis runs there and accepts connections from this machine; docs/redis.md lists the variables of its address";

/** Checks whether Redis is reachable, and whether its user has all permissions that the relay needs. */
export function redisCheck(redis: RedisToCheck | undefined): Check {
  return {
    name: "Redis",
    run: async () => {
      if (redis === undefined) return [skipped("not needed, CACHE is not redis")];
      await using running = new AsyncDisposableStack();
      const token = await requestFirstToken(redis, running);
      if (token?.result.state === "failed") return [token.result];
      const connection = running.use(
        new RedisConnection(redis.connection, redis.clock, () => {}, token?.logins),
      );
      const address = describeAddress(redis.connection);
      const answered = await attempt(connection, `${address} responds`, `${address} is unusable`, () =>
        connection.send("PING", []),
      );
      const login = token === undefined ? [] : [token.result];
      if (answered.state === "failed") return [...login, answered];
      const entries = await attempt(
        connection,
        "entries can be written, read, renewed and deleted",
        "entries cannot be written, read, renewed and deleted",
        () => useBackup(connection, redis),
      );
      const relayKeys = await attempt(
        connection,
        "the keys of relays can be written and read",
        "the keys of relays, other than config specs, cannot be written and read",
        () => useRelayKeys(connection, redis),
      );
      const notices = redis.fleetPolling
        ? [
            await attempt(connection, "notices are delivered", "notices are not delivered", () =>
              exchangeNotice(connection, redis),
            ),
          ]
        : [];
      return [
        ...login,
        answered,
        entries,
        ...[relayKeys, ...notices].map(toWarning),
        ...findMissingPermissions(connection),
      ];
    },
  };
}

/** Returns undefined if Redis is not used with access tokens. */
async function requestFirstToken(
  { connection: { entra }, clock }: RedisToCheck,
  running: AsyncDisposableStack,
): Promise<{ readonly logins: TokenLogins; readonly result: CheckResult } | undefined> {
  if (entra === undefined) return undefined;
  const first = Promise.withResolvers<RedisEvent>();
  const supervisor = new Supervisor({ clock, emit: () => {} });
  const logins = running.use(new TokenLogins({ entra, clock, supervisor, emit: first.resolve }));
  const outcome = await first.promise;
  const result =
    outcome.kind === "redis_token_failed"
      ? failed(
          `no access token for Redis: ${outcome.reason}`,
          "correct the REDIS_OAUTH_ variables (docs/redis.md)",
        )
      : ok(`${entra.authority} issues access tokens for Redis`);
  return { logins, result };
}

/** For features that the relay works without. */
const toWarning = (result: CheckResult): CheckResult =>
  result.state === "failed" ? { ...result, state: "warning" } : result;

function findMissingPermissions({ permissions, options }: RedisConnection): readonly CheckResult[] {
  return permissions.missing.map(({ permission, cost }) =>
    warning(
      `the Redis user lacks the permission ${permission}: ${cost}`,
      `ACL SETUSER ${options.user ?? "default"} ${permission}`,
    ),
  );
}

async function attempt(
  { keys }: RedisConnection,
  success: string,
  failure: string,
  work: () => Promise<unknown>,
): Promise<CheckResult> {
  try {
    await work();
    return ok(success);
  } catch (error) {
    const { message } = error as Error;
    const [, fix = OTHER_FIX] = listFixes(keys).find(([pattern]) => pattern.test(message)) ?? [];
    return failed(`${failure}: ${message}`, fix);
  }
}

/** Runs the commands of the relay on a feed that no client uses. */
async function useBackup(
  redis: RedisConnection,
  { schemas, doubleWriteLegacy, clock }: RedisToCheck,
): Promise<void> {
  const sdkKey = `doctor-${randomBytes(16).toString("hex")}` as SdkKey;
  const feed = { sdkKey, version: "v1", format: "json" } as const;
  const framed = frameSpec(new Uint8Array([0x7b, 0x7d]), 1);
  const digest = digestBytes(framed.bytes);
  const snapshot: Snapshot = {
    ...{ feed, lcut: 1, checksum: "", format: "json", ...framed, compressed: {}, digest },
    ...{ source: "redis", receivedAt: clock.now() },
  };
  await using backup = new RedisBackup({
    maxBytes: 64 * 1024 * 1024,
    redis,
    schemas,
    doubleWriteLegacy,
    ttlMs: 60_000,
    isSoleKey: () => false,
    clock,
    emit: () => {},
  });
  await backup.write(snapshot);
  try {
    await backup.read(feed, -1);
    await backup.touch(snapshot);
  } finally {
    await backup.remove(feed);
    // A denied DEL is reported as a missing permission.
    await redis.send("DEL", [redis.keys.removal(feed)]).catch(() => undefined);
  }
}

/** Runs the commands for the keys of relays and those in the scripts of a fleet, on a key that no relay uses. */
async function useRelayKeys(redis: RedisConnection, { fleetPolling }: RedisToCheck): Promise<void> {
  const key = redis.keys.doctor(randomBytes(16).toString("hex"));
  await redis.send("SETNX", [key, "1"]);
  try {
    await redis.send("EXPIRE", [key, "60"]);
    await redis.send("TTL", [key]);
    await redis.send("GET", [key]);
    if (!fleetPolling) return;
    // A denied command is reported as a missing permission.
    const all = [
      redis.send("SET", [key, "1", "PX", "60000"]),
      redis.send("PTTL", [key]),
      redis.send("TYPE", [key]),
      redis.send("EVALSHA", ["0".repeat(40), "1", key]),
    ];
    await Promise.allSettled(all);
  } finally {
    await redis.send("DEL", [key]);
  }
}

/** Publishes on the channel of the fleet. No relay has the feed that the notice names. */
async function exchangeNotice(redis: RedisConnection, { clock }: RedisToCheck): Promise<void> {
  await using notices = new RedisNotices(redis, clock, new Supervisor({ clock, emit: () => {} }));
  const digest = randomBytes(32).toString("base64url");
  const received = Promise.withResolvers<void>();
  notices.listen((feedDigest) => {
    if (feedDigest === digest) received.resolve();
  });
  const isDenied = () => redis.permissions.missing.some(({ permission }) => /subscribe|^&/.test(permission));
  for (let attempts = 0; attempts < 20 && !notices.isListening && !isDenied(); attempts++) {
    await clock.sleep(100, AbortSignal.timeout(1_000)).catch(() => undefined);
  }
  await notices.publish(digest, { lcut: 1, checksum: "" });
  if (isDenied()) throw new RedisFailure("refused", "the Redis user may not subscribe to the channel");
  const isReceived = await withTimeout(
    received.promise.then(() => true),
    NOTICE_TIMEOUT_MS,
    clock,
  );
  if (!isReceived) throw new RedisFailure("timeout", "a published notice was not received");
}
