import { createHash, randomBytes } from "node:crypto";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { RedisBackup } from "../redis/backup.ts";
import { RedisConnection } from "../redis/connection.ts";
import { RedisFailure } from "../redis/errors.ts";
import { RedisNotices } from "../redis/fleet.ts";
import { type RedisKeySchema, removalKey } from "../redis/keys.ts";
import { describeAddress, type RedisOptions } from "../redis/options.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import { type Check, type CheckResult, failed, ok, skipped, warning } from "./check.ts";

interface RedisToCheck {
  readonly connection: RedisOptions;
  readonly schemas: readonly RedisKeySchema[];
  readonly doubleWriteLegacy: boolean;
  readonly fleetPolling: boolean;
  readonly clock: Clock;
}

/** By what a failure says: an error of a connection that is not up has no code of Redis any more. */
const MENDS: readonly (readonly [RegExp, string])[] = [
  [
    /asks for a password|user and password/,
    "correct REDIS_ENTERPRISE_USER and REDIS_ENTERPRISE_PASSWORD (docs/redis.md)",
  ],
  [
    /Redis user may not|does not have this command|without EVAL/,
    "ACL SETUSER … +@read +@write +@scripting +@transaction +@connection +@pubsub ~statsig* &statsig_forward_proxy::*",
  ],
  [/read-only|replica/, "name the primary, or its Sentinels or cluster, not a replica"],
  [/out of memory/, "give Redis more memory (maxmemory), or a policy that evicts"],
  [/can't save/, "mend what keeps Redis from saving: its disk is full or read-only"],
  [/certificate|TLS|SSL/i, "see REDIS_TLS, REDIS_TLS_CA_PATH and the files that they name (docs/redis.md)"],
];

const OTHER_MEND =
  "see that Redis runs there and this machine may connect to it; docs/redis.md has the variables that name it";

/** Whether Redis can be reached, what the relay may do there, and what it costs if that is not all. */
export function redisCheck(redis: RedisToCheck | undefined): Check {
  return {
    name: "Redis",
    run: async () => {
      if (redis === undefined) return [skipped("the CACHE is not redis")];
      await using connection = new RedisConnection(redis.connection, redis.clock, () => {});
      const where = describeAddress(redis.connection);
      const answered = await attempt(`${where} answers`, `${where} can't be used`, () =>
        connection.send("PING", []),
      );
      if (answered.state === "failed") return [answered];
      const entries = await attempt(
        "entries can be written, read, kept and removed",
        "entries can't be written, read, kept and removed",
        () => useBackup(connection, redis),
      );
      const leader = await attempt(
        "the leader key can be held",
        "the leader key, which keeps original relays from writing, can't be held",
        () => useLeaderCommands(connection, redis),
      );
      const notices = redis.fleetPolling
        ? [
            await attempt("notices get through", "notices don't get through", () =>
              exchangeNotice(connection, redis),
            ),
          ]
        : [];
      return [answered, entries, ...[leader, ...notices].map(asWarning), ...missingPermissions(connection)];
    },
  };
}

/** The relay works without. */
const asWarning = (finding: CheckResult): CheckResult =>
  finding.state === "failed" ? { ...finding, state: "warning" } : finding;

function missingPermissions({ permissions, options }: RedisConnection): readonly CheckResult[] {
  return permissions.missing.map(({ permission, cost }) =>
    warning(
      `the Redis user lacks the permission ${permission}: ${cost}`,
      `ACL SETUSER ${options.user ?? "default"} ${permission}`,
    ),
  );
}

async function attempt(success: string, failure: string, work: () => Promise<unknown>): Promise<CheckResult> {
  try {
    await work();
    return ok(success);
  } catch (error) {
    const { message } = error as Error;
    const [, mend = OTHER_MEND] = MENDS.find(([says]) => says.test(message)) ?? [];
    return failed(`${failure}: ${message}`, mend);
  }
}

/** The very commands of the relay, on a feed that nobody has. */
async function useBackup(
  redis: RedisConnection,
  { schemas, doubleWriteLegacy, clock }: RedisToCheck,
): Promise<void> {
  const sdkKey = `doctor-${randomBytes(16).toString("hex")}` as SdkKey;
  const feed = { sdkKey, version: "v1", format: "json" } as const;
  const bytes = new Uint8Array([0x7b, 0x7d]);
  const digest = createHash("sha256").update(bytes).digest("base64url").slice(0, 16);
  const snapshot: Snapshot = {
    ...{ feed, lcut: 1, format: "json", bytes, compressed: {}, digest },
    ...{ source: "redis", receivedAt: clock.now() },
  };
  await using backup = new RedisBackup({
    maxBytes: 64 * 1024 * 1024,
    redis,
    schemas,
    doubleWriteLegacy,
    ttlMs: 60_000,
    clock,
    emit: () => {},
  });
  await backup.write(snapshot);
  try {
    await backup.read(feed, -1);
    await backup.touch(snapshot);
  } finally {
    await backup.remove(feed);
    // Where that is denied, it is reported as a missing permission.
    await redis.send("DEL", [removalKey(feed)]).catch(() => undefined);
  }
}

/** As for the leader key and in the scripts of a fleet, on a key that nobody has. */
async function useLeaderCommands(redis: RedisConnection, { fleetPolling }: RedisToCheck): Promise<void> {
  const key = `statsig_forward_proxy::doctor::${randomBytes(16).toString("hex")}`;
  await redis.send("SETNX", [key, "1"]);
  try {
    await redis.send("EXPIRE", [key, "60"]);
    await redis.send("TTL", [key]);
    await redis.send("GET", [key]);
    if (!fleetPolling) return;
    // What is denied is reported by its name.
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

/** On the channel that all relays of the fleet listen to; nobody has the feed that it names. */
async function exchangeNotice(redis: RedisConnection, { clock }: RedisToCheck): Promise<void> {
  await using notices = new RedisNotices(redis, clock, new Supervisor({ clock, emit: () => {} }));
  const digest = randomBytes(32).toString("base64url");
  const heard = Promise.withResolvers<void>();
  notices.listen((of) => {
    if (of === digest) heard.resolve();
  });
  const isDenied = () => redis.permissions.missing.some(({ permission }) => /subscribe|^&/.test(permission));
  for (let time = 0; time < 20 && !notices.isListening && !isDenied(); time++) {
    await clock.sleep(100, AbortSignal.timeout(1_000)).catch(() => undefined);
  }
  await notices.publish(digest, 1);
  if (isDenied()) throw new RedisFailure("refused", "the Redis user may not subscribe to the channel");
  const late = clock.sleep(2_000, new AbortController().signal).then(() => {
    throw new RedisFailure("timeout", "what was published was not heard");
  });
  await Promise.race([heard.promise, late]);
}
