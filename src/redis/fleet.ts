import { randomUUID } from "node:crypto";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { Feed } from "../specs/feed.ts";
import type { Confirmation, FleetChannel, Look, Seen } from "../specs/fleet.ts";
import { latestLcut, parseLcut } from "../specs/payload/payload.ts";
import { type RedisConnection, RedisScript } from "./connection.ts";
import { RedisFailure } from "./errors.ts";
import { claimKey, confirmedKey, redisFeedId, VERSIONS_CHANNEL } from "./keys.ts";
import { Subscriber } from "./subscriber.ts";

/**
 * How long a confirmation stays, ms: longer than anybody counts on it. Redis tells how much of that is left, and so how old it
 * is, whatever the clocks of the relays say.
 */
const KEPT_MS = 24 * 3_600_000;

/**
 * Values are `word note kept-ms`. Of one its word, its age and its note; nothing of what is no such value, or without an end.
 * And what is a version number, up to the latest that can be a real one.
 */
const READ = `
local function read(key)
  local value = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key)
  local word, note, kept = string.match(value or '', '^(%S+) (%S+) (%d+)$')
  local left = redis.call('PTTL', key)
  if word and left > 0 then return word, tonumber(kept) - left, note end
end
local function version(word, latest)
  local number = word and string.match(word, '^%d+$') and tonumber(word)
  if number and number <= tonumber(latest) then return number end
end
`;

/**
 * Both keys are in one slot. A relay's own claim counts as another's: a request that came to nothing is not made again at once.
 * Answers with the turn, the age of a claim and for how long it counts, and the last confirmation.
 */
const look = new RedisScript(`${READ}
local latest, id, freshFor, claimedFor = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local lcut, age, note = read(KEYS[1])
if not version(lcut, latest) then lcut, age, note = '', 0, '' end
local claimer, claimAge, claimNote = read(KEYS[2])
if lcut ~= '' and age < freshFor and claimNote ~= 'refused' then return {'confirmed', 0, 0, '', lcut, age, note} end
if claimer then
  local left = claimNote == 'hold' and redis.call('PTTL', KEYS[2]) or claimedFor - claimAge
  if left > 0 then return {'claimed', claimAge, left, claimNote, lcut, age, note} end
end
local kept = 2 * claimedFor
redis.call('SET', KEYS[2], id .. ' - ' .. kept, 'PX', kept)
return {'ours', 0, 0, '', lcut, age, note}
`);

/** Of two relays that asked at the same time, the one with the newer version is right, whichever says so last. */
const confirm = new RedisScript(`${READ}
local latest, kept, lcut, age, note = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local known, knownAge = read(KEYS[1])
local number = version(known, latest)
if number and (number > tonumber(lcut) or (number == tonumber(lcut) and knownAge <= age)) then return 0 end
redis.call('SET', KEYS[1], lcut .. ' ' .. note .. ' ' .. kept, 'PX', kept - age)
return 1
`);

/** The note of a confirmation: how long after upstream was asked Statsig was known to have nothing newer, ms; before it, if negative. */
const SINCE = /^-?\d{1,15}$/;
const UNKNOWN = "-";
/** The note of a claim that counts until its end, by whatever interval. */
const HOLD = "hold";
/** The note of a claim of a relay that upstream told that the SDK key is not valid. */
const REFUSED = "refused";

/** The board of a fleet whose relays share a Redis. */
export class RedisFleetChannel implements FleetChannel {
  /** By which a claim can be told from another's, for people who look at it. */
  readonly #id = randomUUID();
  readonly #clock: Clock;
  readonly #redis: RedisConnection;
  readonly #notices: RedisNotices;

  constructor(redis: RedisConnection, notices: RedisNotices, clock: Clock) {
    this.#clock = clock;
    this.#redis = redis;
    this.#notices = notices;
  }

  async look(feed: Feed, { freshForMs, claimedForMs }: Look): Promise<Seen> {
    const digest = redisFeedId(feed);
    const args = [...this.#bounds(), this.#id, whole(freshForMs), whole(claimedForMs)];
    const answer = await look.run(this.#redis, [confirmedKey(digest), claimKey(digest)], args);
    return readSeen(answer);
  }

  async confirm(feed: Feed, { lcut, ageMs, confirmedAgoMs }: Confirmation): Promise<void> {
    if (ageMs >= KEPT_MS) return;
    const since = confirmedAgoMs === undefined ? UNKNOWN : whole(ageMs - confirmedAgoMs);
    const args = [...this.#bounds(), String(lcut), whole(ageMs), since];
    await confirm.run(this.#redis, [confirmedKey(redisFeedId(feed))], args);
  }

  async refuse(feed: Feed, claimedForMs: number): Promise<void> {
    const keptMs = whole(2 * claimedForMs);
    const value = `${this.#id} ${REFUSED} ${keptMs}`;
    await this.#redis.send("SET", [claimKey(redisFeedId(feed)), value, "PX", keptMs]);
  }

  async holdOff(feed: Feed, ms: number): Promise<void> {
    const value = `${this.#id} ${HOLD} ${whole(ms)}`;
    await this.#redis.send("SET", [claimKey(redisFeedId(feed)), value, "PX", whole(ms)]);
  }

  announce(feed: Feed, lcut: number): Promise<void> {
    return this.#notices.publish(redisFeedId(feed), lcut);
  }

  onAnnounced(listener: (topic: string, lcut: number) => void): void {
    this.#notices.listen(listener);
  }

  toTopic(feed: Feed): string {
    return redisFeedId(feed);
  }

  #bounds(): readonly [latestLcut: string, keptMs: string] {
    return [String(latestLcut(this.#clock.now())), String(KEPT_MS)];
  }
}

function readSeen(answer: unknown): Seen {
  const [kind, ageMs, leftMs, claimNote, word, saidAgoMs, note] = Array.isArray(answer)
    ? (answer as readonly unknown[])
    : [];
  if (typeof ageMs !== "number" || typeof leftMs !== "number" || typeof saidAgoMs !== "number")
    throw nonsense();
  const lcut = word === "" ? undefined : parseLcut(Number(word));
  const confirmedAgoMs = SINCE.test(String(note)) ? saidAgoMs - Number(note) : undefined;
  const last = lcut === undefined ? undefined : { lcut, ageMs: saidAgoMs, confirmedAgoMs };
  switch (kind) {
    case "ours":
      return { turn: { kind }, last };
    case "claimed":
      return { turn: { kind, ageMs, leftMs, isRefused: claimNote === REFUSED }, last };
    case "confirmed":
      if (last !== undefined) return { turn: { kind }, last };
      throw nonsense();
    default:
      throw nonsense();
  }
}

const nonsense = () => new RedisFailure("garbage", "what is kept of the fleet makes no sense");

const whole = (ms: number): string => String(Math.round(ms));

/** A feed, by its digest, has a new version in Redis. */
type VersionListener = (feedDigest: string, lcut: number) => void;

/**
 * Tells other relays of new versions at once. A notice may get lost, as while a connection is made anew: who
 * listens looks for itself from time to time. On a Cluster they go by shard channels, which need Redis 7.
 */
export class RedisNotices implements AsyncDisposable {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #supervisor: Supervisor;
  readonly #listeners: VersionListener[] = [];
  #subscriber: Subscriber | undefined;

  constructor(redis: RedisConnection, clock: Clock, supervisor: Supervisor) {
    this.#redis = redis;
    this.#clock = clock;
    this.#supervisor = supervisor;
  }

  /** Whether notices get here just now. */
  get isListening(): boolean {
    return this.#subscriber?.isListening ?? false;
  }

  /** Of what this relay publishes, too. The first listener opens the connection. */
  listen(listener: VersionListener): void {
    this.#listeners.push(listener);
    this.#subscriber ??= new Subscriber({
      redis: this.#redis.options,
      permissions: this.#redis.permissions,
      channel: VERSIONS_CHANNEL,
      clock: this.#clock,
      supervisor: this.#supervisor,
      onMessage: (message) => this.#tell(message),
    });
  }

  async publish(feedDigest: string, lcut: number): Promise<void> {
    const command = this.#redis.options.address.kind === "cluster" ? "SPUBLISH" : "PUBLISH";
    await this.#redis.send(command, [VERSIONS_CHANNEL, `${feedDigest} ${lcut}`]);
  }

  #tell(message: string): void {
    const [, digest, version] = /^([\w-]{43}) (\d{1,16})$/.exec(message) ?? [];
    const lcut = parseLcut(Number(version));
    if (digest === undefined || lcut === undefined) return;
    for (const listener of this.#listeners) listener(digest, lcut);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#subscriber?.[Symbol.asyncDispose]();
  }
}
