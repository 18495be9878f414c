import { randomBytes } from "node:crypto";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { RedisBackup } from "../redis/backup.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { RedisFailure } from "../redis/errors.ts";
import { RedisFleetChannel, RedisNotices } from "../redis/fleet.ts";
import { type RedisKeySchema, redisFeedId } from "../redis/keys.ts";
import type { Feed } from "../specs/feed.ts";
import { frameSpec } from "../specs/payload/grpc-frame.ts";
import { digestBytes, type Snapshot } from "../specs/snapshot.ts";

/** What `doctor` does in Redis, in the same way as the relay. Each function rejects with the failure that the relay would see. */
interface BackupToUse {
  readonly schemas: readonly RedisKeySchema[];
  readonly doubleWriteLegacy: boolean;
  readonly clock: Clock;
}

const NOTICE_TIMEOUT_MS = 2_000;
const CLAIM_MS = 60_000;

/** Returns a feed that no relay and no client has. */
function createFeed(): Feed & { readonly version: "v1"; readonly format: "json" } {
  const sdkKey = `doctor-${randomBytes(16).toString("hex")}` as SdkKey;
  return { sdkKey, version: "v1", format: "json" };
}

/** Runs the commands of the relay on a feed that no client uses. */
export async function useBackup(
  redis: RedisConnection,
  { schemas, doubleWriteLegacy, clock }: BackupToUse,
): Promise<void> {
  const feed = createFeed();
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

/** Runs the commands for the keys of relays, on a key that no relay uses. */
export async function useRelayKeys(redis: RedisConnection): Promise<void> {
  const key = redis.keys.doctor(randomBytes(16).toString("hex"));
  await redis.send("SETNX", [key, "1"]);
  try {
    await redis.send("EXPIRE", [key, "60"]);
    await redis.send("TTL", [key]);
    await redis.send("GET", [key]);
  } finally {
    await redis.send("DEL", [key]);
  }
}

/**
 * Runs the scripts of a fleet on the keys of a feed that no relay has. Their commands are sent before, one by one, because Redis 7.0
 * does not say which command of a script it denied; denied ones are reported as missing permissions.
 */
export async function useClaims(redis: RedisConnection, clock: Clock): Promise<void> {
  const feed = createFeed();
  const [claim, confirmed] = [redis.keys.claim(redisFeedId(feed)), redis.keys.confirmed(redisFeedId(feed))];
  const notices = new RedisNotices(redis, clock, new Supervisor({ clock, emit: () => {} }));
  const channel = new RedisFleetChannel(redis, notices, clock);
  try {
    await Promise.allSettled([
      redis.send("SET", [claim, "1", "PX", String(CLAIM_MS)]),
      redis.send("GET", [claim]),
      redis.send("PTTL", [claim]),
      redis.send("TYPE", [claim]),
      redis.send("EVALSHA", ["0".repeat(40), "1", claim]),
    ]);
    await channel.look(feed, { freshForMs: CLAIM_MS, claimedForMs: CLAIM_MS });
    await channel.refuse(feed, CLAIM_MS);
    await channel.confirm(feed, { lcut: 1, ageMs: 0, confirmedAgoMs: 0 });
  } finally {
    for (const key of [claim, confirmed]) await redis.send("DEL", [key]).catch(() => undefined);
  }
}

/** Publishes on the channel of the fleet. No relay has the feed that the notice names. */
export async function exchangeNotice(redis: RedisConnection, clock: Clock): Promise<void> {
  await using notices = new RedisNotices(redis, clock, new Supervisor({ clock, emit: () => {} }));
  const digest = randomBytes(32).toString("base64url");
  const received = Promise.withResolvers<void>();
  notices.listen((feedDigest) => {
    if (feedDigest === digest) received.resolve();
  });
  const findDenied = () =>
    redis.permissions.missing.find(({ permission }) => /subscribe|^&/.test(permission));
  for (let attempts = 0; attempts < 20 && !notices.isListening && findDenied() === undefined; attempts++) {
    await clock.sleep(100, AbortSignal.timeout(1_000)).catch(() => undefined);
  }
  await notices.publish(digest, { lcut: 1, checksum: "" });
  const denied = findDenied()?.permission;
  if (denied !== undefined) {
    const what = denied.startsWith("&") ? "use this channel" : `run ${denied.slice(1).toUpperCase()}`;
    throw new RedisFailure("refused", `the Redis user may not ${what}`);
  }
  const isReceived = await withTimeout(
    received.promise.then(() => true),
    NOTICE_TIMEOUT_MS,
    clock,
  );
  if (!isReceived) throw new RedisFailure("timeout", "a published notice was not received");
}
