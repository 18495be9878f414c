import type { Clock } from "../platform/clock.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { TokenLogins } from "../redis/auth/token-logins.ts";
import { RedisConnection } from "../redis/connection.ts";
import type { RedisEvent } from "../redis/events.ts";
import type { RedisKeySchema } from "../redis/keys.ts";
import { describeAddress, type RedisOptions } from "../redis/options.ts";
import { type Check, type CheckResult, failed, ok, skipped, warning } from "./check.ts";
import { exchangeNotice, useBackup, useClaims, useRelayKeys } from "./redis-uses.ts";

interface RedisToCheck {
  readonly connection: RedisOptions;
  readonly schemas: readonly RedisKeySchema[];
  readonly doubleWriteLegacy: boolean;
  readonly fleetPolling: boolean;
  readonly clock: Clock;
}

/** Returns fixes by the message of a failure, since an error of a closed connection no longer has the code of Redis. */
const listFixes = (connection: RedisConnection): readonly (readonly [RegExp, string])[] => [
  [
    /asks for a password|user and password/,
    "correct user and password in REDIS_URL, or in REDIS_ENTERPRISE_USER and REDIS_ENTERPRISE_PASSWORD; with REDIS_AUTH_MODE=oauth, REDIS_OAUTH_USERNAME and the access policy in Azure",
  ],
  // Redis rejects a whole command with a pattern if the user has allkeys or allchannels, so each has a command of its own.
  [/may not use this key/, `ACL SETUSER ${findUser(connection)} ~${connection.keys.ofEntries}*`],
  [/may not use this channel/, `ACL SETUSER ${findUser(connection)} ${connection.permissions.channels}`],
  [
    /Redis user may not|does not have this command|without EVAL/,
    `ACL SETUSER ${findUser(connection)} +@read +@write +@scripting +@transaction +@connection +@pubsub`,
  ],
  [/read-only|replica/, "connect to the primary, or to its Sentinels or cluster, instead of a replica"],
  [/out of memory/, "raise maxmemory of Redis, or set an eviction policy"],
  [/can't save/, "make the disk of Redis writable and free space on it, so that Redis can save"],
  [
    /certificate|TLS|SSL/i,
    "set REDIS_TLS_CA_PATH to the CA certificates of Redis, REDIS_TLS_CERT_PATH and REDIS_TLS_KEY_PATH to the certificate of the relay if Redis asks for one; REDIS_TLS is true only for a port with TLS",
  ],
];

const OTHER_FIX =
  "check that Redis runs there and accepts connections from this machine; its address is in REDIS_URL, REDIS_ENTERPRISE_HOST and REDIS_ENTERPRISE_PORT, REDIS_SENTINELS or REDIS_CLUSTER_NODES";

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
        () => useRelayKeys(connection),
      );
      const fleet = redis.fleetPolling ? await checkFleet(connection, redis.clock) : [];
      return [
        ...login,
        answered,
        entries,
        ...[relayKeys, ...fleet].map(toWarning),
        ...findMissingPermissions(connection),
      ];
    },
  };
}

/** What relays with `--fleet-polling` need: claims and confirmations of polls, and notices of new versions and invalidations. */
async function checkFleet(connection: RedisConnection, clock: Clock): Promise<readonly CheckResult[]> {
  return [
    await attempt(
      connection,
      "a fleet can share polls: claims and confirmations can be written and read",
      "a fleet cannot share polls: claims and confirmations cannot be written and read",
      () => useClaims(connection, clock),
    ),
    await attempt(
      connection,
      "a fleet can be notified: notices are delivered",
      "a fleet cannot be notified: notices are not delivered",
      () => exchangeNotice(connection, clock),
    ),
  ];
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
          "correct REDIS_OAUTH_TENANT_ID, REDIS_OAUTH_CLIENT_ID, REDIS_OAUTH_CLIENT_SECRET and REDIS_OAUTH_SCOPE",
        )
      : ok(`${entra.authority} issues access tokens for Redis`);
  return { logins, result };
}

/** For features that the relay works without. */
const toWarning = (result: CheckResult): CheckResult =>
  result.state === "failed" ? { ...result, state: "warning" } : result;

function findMissingPermissions(connection: RedisConnection): readonly CheckResult[] {
  const { missing, channels } = connection.permissions;
  const isPubSub = ({ permission }: { readonly permission: string }) =>
    /publish$|subscribe$/.test(permission);
  // Whether the user may use the channel is not known before it may run one of the commands.
  const isChannelUnknown = missing.filter(isPubSub).length > 1;
  return missing.map((each) => {
    const { permission, cost } = each;
    const also = isChannelUnknown && isPubSub(each) ? `; unless it has allchannels, also ${channels}` : "";
    return warning(
      `the Redis user lacks the permission ${permission}: ${cost}`,
      `ACL SETUSER ${findUser(connection)} ${permission}${also}`,
    );
  });
}

/** The user that the relay is logged in as, in the syntax of ACL SETUSER. */
function findUser({ logins, options }: RedisConnection): string {
  return logins.current?.user ?? options.user ?? "default";
}

async function attempt(
  connection: RedisConnection,
  success: string,
  failure: string,
  work: () => Promise<unknown>,
): Promise<CheckResult> {
  try {
    await work();
    return ok(success);
  } catch (error) {
    const { message } = error as Error;
    const [, fix = OTHER_FIX] = listFixes(connection).find(([pattern]) => pattern.test(message)) ?? [];
    return failed(`${failure}: ${message}`, fix);
  }
}
