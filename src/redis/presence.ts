import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { type Feed, feedId } from "../specs/feed.ts";
import { type RedisConnection, RedisScript } from "./connection.ts";
import { RedisFailure } from "./errors.ts";
import { redisFeedId } from "./keys.ts";

/** What a relay says about itself to the others that use the same Redis and key prefix. */
interface RelayRecord {
  readonly host: string;
  readonly version: string;
  /** Ms since the Unix epoch, by the clock of that relay. */
  readonly startedAt: number;
  readonly mode: string;
  readonly isReady: boolean;
  readonly sdkKeys: number;
  readonly feeds: number;
  readonly streams: number;
  /** The highest lcut that it holds; 0 without config specs. */
  readonly newestLcut: number;
  readonly fleetPolling: boolean;
}

export interface PresentRelay extends RelayRecord {
  readonly id: string;
  /** How long ago it wrote its record, by the clock of Redis. */
  readonly ageMs: number;
}

interface PresenceOptions {
  readonly redis: RedisConnection;
  /** The ID of this relay, which its claims name as well. */
  readonly id: string;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
}

const WRITE_EVERY_MS = 10_000;

/** How soon the others see that this relay became ready, or holds its first feeds. */
const LOOK_EVERY_MS = 1_000;

/** After this time without a write a relay is taken to be gone: two writes may fail. */
const PRESENT_MS = 30_000;

/** How soon a failed write is repeated. Longer if Redis does not allow it at all, since nothing else depends on it. */
const RETRY = { failedMs: 5_000, deniedMs: 60_000 } as const;

/** More relays than this are not written, so that the record stays small whatever else writes there. */
const MAX_RELAYS = 500;

const MAX_RECORD_CHARS = 1_000;

/** A Redis that hangs must not delay the shutdown. */
const REMOVAL_MS = 500;

/** Feeds whose claims are looked up for one view. */
const MAX_CLAIMS = 1_000;

/** A field of the hash is `written-at record`, in ms by the clock of Redis, so that the clocks of the relays do not matter. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** Writes this relay's record. Finds room by removing the records of relays that are gone, only when there are many. */
const write = new RedisScript(`${NOW}
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  local all = redis.call('HGETALL', KEYS[1])
  for at = 1, #all, 2 do
    local written = tonumber(string.match(all[at + 1], '^(%d+) '))
    if not written or now - written > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[at]) end
  end
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], math.ceil(2 * ARGV[3] / 1000))
return 1
`);

/** Returns id, age in ms and record of each relay that is present. */
const list = new RedisScript(`${NOW}
local all, present = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  local written, record = string.match(all[at + 1], '^(%d+) (.+)$')
  local age = written and now - tonumber(written)
  if age and age <= tonumber(ARGV[1]) then
    present[#present + 1] = all[at]
    present[#present + 1] = age
    present[#present + 1] = record
  else
    redis.call('HDEL', KEYS[1], all[at])
  end
end
return present
`);

/**
 * Which relays use this Redis. Each writes a small record every ten seconds, for the status page alone: if Redis fails or lacks a
 * permission for it, nothing else notices.
 */
export class RedisPresence implements AsyncDisposable {
  readonly id: string;
  readonly #options: PresenceOptions;
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;
  #read: (() => RelayRecord) | undefined;
  #written: RelayRecord | undefined;
  /** When the next write is due, by `Clock.elapsed`. */
  #dueAt = 0;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.id = options.id;
  }

  /** Begins to write what `read` returns. */
  show(read: () => RelayRecord): void {
    const { supervisor, clock } = this.#options;
    const { signal } = this.#ending;
    this.#read = read;
    this.#running ??= supervisor.loop("redis_presence", signal, async (worked) => {
      const record = read();
      const { isReady, feeds } = this.#written ?? record;
      const hasNews = isReady !== record.isReady || (feeds === 0 && record.feeds > 0);
      if (hasNews || clock.elapsed() >= this.#dueAt) {
        this.#written = record;
        this.#dueAt = clock.elapsed() + (await this.#write(record));
      }
      worked();
      await clock.sleep(LOOK_EVERY_MS, signal);
    });
  }

  /** Returns the relays that are present, this one among them. Rejects with a `RedisFailure`. */
  async list(): Promise<readonly PresentRelay[]> {
    const reply = await this.#run(list, [String(PRESENT_MS)]);
    if (!Array.isArray(reply)) throw new RedisFailure("garbage", "unexpected reply to the presence script");
    const found: PresentRelay[] = [];
    const own = this.#read?.();
    for (let at = 0; at + 2 < reply.length && found.length < MAX_RELAYS; at += 3) {
      const [id, ageMs, text] = reply.slice(at, at + 3) as unknown[];
      const record = parseRecord(text);
      if (typeof id === "string" && ID.test(id) && typeof ageMs === "number" && record !== undefined)
        found.push({
          id,
          ageMs: Math.max(0, ageMs),
          ...(id === this.id && own !== undefined ? own : record),
        });
    }
    return found;
  }

  /** Returns the ID of the relay that last claimed each feed, by `feedId`, for those that are claimed. Rejects with a `RedisFailure`. */
  async claimants(feeds: readonly Feed[]): Promise<ReadonlyMap<string, string>> {
    const { redis } = this.#options;
    const found = new Map<string, string>();
    const lookUp = async (feed: Feed) => {
      const reply = await redis.quiet.send("GET", [redis.keys.claim(redisFeedId(feed))]);
      const [id = ""] = typeof reply === "string" ? reply.split(" ") : [];
      if (ID.test(id)) found.set(feedId(feed), id);
    };
    await Promise.all(feeds.slice(0, MAX_CLAIMS).map(lookUp));
    return found;
  }

  /** Returns how long to wait before the next write. */
  async #write(record: RelayRecord): Promise<number> {
    const args = [this.id, JSON.stringify(record), String(PRESENT_MS), String(MAX_RELAYS)];
    try {
      await this.#run(write, args);
      return WRITE_EVERY_MS;
    } catch (error) {
      return error instanceof RedisFailure && error.kind === "refused" ? RETRY.deniedMs : RETRY.failedMs;
    }
  }

  #run(script: RedisScript, args: readonly string[]): Promise<unknown> {
    const { redis } = this.#options;
    return script.run(redis, redis.keys.relays, args, redis.quiet);
  }

  /** Removes the record: a relay that stops is gone at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    if (this.#running === undefined) return;
    await this.#running;
    const { redis } = this.#options;
    if (!redis.isUp) return;
    const removed = redis.quiet.send("HDEL", [redis.keys.relays, this.id]).catch(() => undefined);
    await withTimeout(removed, REMOVAL_MS, this.#options.clock);
  }
}

const ID = /^[\w-]{1,64}$/;

/** What other software writes there must not break the page: printable, and short. */
const SHOWN = /^[\x20-\x7e]{0,255}$/;

function parseRecord(text: unknown): RelayRecord | undefined {
  if (typeof text !== "string" || text.length > MAX_RECORD_CHARS) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const of = parsed as Readonly<Record<string, unknown>>;
  const toText = (name: string) => (SHOWN.test(String(of[name])) ? String(of[name]) : "");
  const toCount = (name: string) => (Number.isSafeInteger(of[name]) ? Math.max(0, Number(of[name])) : 0);
  return {
    host: toText("host"),
    version: toText("version"),
    startedAt: toCount("startedAt"),
    mode: toText("mode"),
    isReady: of["isReady"] === true,
    sdkKeys: toCount("sdkKeys"),
    feeds: toCount("feeds"),
    streams: toCount("streams"),
    newestLcut: toCount("newestLcut"),
    fleetPolling: of["fleetPolling"] === true,
  };
}
