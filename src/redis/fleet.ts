import { randomUUID } from "node:crypto";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { VersionId } from "../specs/deltas/delta.ts";
import type { Feed } from "../specs/feed.ts";
import type { Confirmation, FleetChannel, Look, Seen } from "../specs/fleet.ts";
import { latestLcut, parseLcut } from "../specs/payload/payload.ts";
import type { PushChannel, PushTopics, PushTurn } from "../specs/push.ts";
import { type RedisConnection, RedisScript } from "./connection.ts";
import { RedisFailure } from "./errors.ts";
import { redisFeedId } from "./keys.ts";
import { Subscriber } from "./subscriber.ts";

/**
 * The TTL of a confirmation, longer than any relay relies on it. The TTL that is left shows how old the confirmation is,
 * independent of the clocks of the relays.
 */
const CONFIRMATION_TTL_MS = 24 * 3_600_000;

/**
 * Values have the form `word note ttl-ms`. `read` returns the word, the age in ms and the note of a key's value, or nothing if the
 * value has another form or no TTL. `version` returns a word as a number if it is a version number that is not above `latest`.
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
 * KEYS: the confirmation and the claim of a feed, which are in one slot. Claims the feed unless it has a fresh confirmation or a
 * valid claim. A relay's own claim counts as well, so that it does not repeat a failed request at once. Returns the turn, the age
 * of the claim, how long it is still valid, its note, and the last confirmation.
 */
const look = new RedisScript(`${READ}
local latest, id, freshFor, claimedFor = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local lcut, age, note = read(KEYS[1])
if not version(lcut, latest) then lcut, age, note = '', 0, '' end
local claimer, claimAge, claimNote = read(KEYS[2])
-- What was confirmed before the claim of a push may be outdated.
local outdated = claimNote and string.sub(claimNote, 1, 5) == 'push-' and age > claimAge
if lcut ~= '' and age < freshFor and claimNote ~= 'refused' and not outdated then return {'confirmed', 0, 0, '', lcut, age, note} end
if claimer then
  local left = claimNote == 'hold' and redis.call('PTTL', KEYS[2]) or claimedFor - claimAge
  if left > 0 then return {'claimed', claimAge, left, claimNote, lcut, age, note} end
end
local kept = 2 * claimedFor
redis.call('SET', KEYS[2], id .. ' - ' .. kept, 'PX', kept)
return {'ours', 0, 0, '', lcut, age, note}
`);

/**
 * KEYS: the claim of a feed. Claims the feed for a push, unless it was claimed for this push, or for another one within the
 * time given in ARGV, in ms.
 */
const claimForPush = new RedisScript(`${READ}
local id, note, apart, kept = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local claimer, claimAge, claimNote = read(KEYS[1])
if claimNote == note then return 'theirs' end
if claimer and string.sub(claimNote, 1, 5) == 'push-' and claimAge < apart then return 'too_soon' end
redis.call('SET', KEYS[1], id .. ' ' .. note .. ' ' .. kept, 'PX', kept)
return 'ours'
`);

/** Stores a confirmation, unless there is one of a newer version, or a younger one of the same version. */
const confirm = new RedisScript(`${READ}
local latest, kept, lcut, age, note = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local known, knownAge = read(KEYS[1])
local number = version(known, latest)
if number and (number > tonumber(lcut) or (number == tonumber(lcut) and knownAge <= age)) then return 0 end
redis.call('SET', KEYS[1], lcut .. ' ' .. note .. ' ' .. kept, 'PX', kept - age)
return 1
`);

/**
 * The note of a confirmation: the ms from upstream's response to when Statsig was last known to have nothing newer. Negative if
 * that was before the response.
 */
const CONFIRMED_OFFSET = /^-?\d{1,15}$/;
const UNKNOWN = "-";
/** The note of a claim that is valid until it expires, whatever the interval of the relay that looks. */
const HOLD = "hold";
/** Begins the note of a claim for a push, and is followed by the id of the push. */
const PUSH = "push-";
/** Within this time a feed is not claimed for another push, so that pushes of several relays cannot flood upstream. */
const PUSHES_APART_MS = 1_000;
/** The note of a claim after which upstream rejected the SDK key. */
const REFUSED = "refused";

/** The channel of a fleet whose relays share a Redis. */
export class RedisFleetChannel implements FleetChannel, PushChannel {
  /** Stored in claims for the status page. */
  readonly #id: string;
  readonly #clock: Clock;
  readonly #redis: RedisConnection;
  readonly #notices: RedisNotices;

  constructor(redis: RedisConnection, notices: RedisNotices, clock: Clock, id: string = randomUUID()) {
    this.#id = id;
    this.#clock = clock;
    this.#redis = redis;
    this.#notices = notices;
  }

  async look(feed: Feed, { freshForMs, claimedForMs }: Look): Promise<Seen> {
    const id = redisFeedId(feed);
    const { keys } = this.#redis;
    const args = [...this.#limits(), this.#id, round(freshForMs), round(claimedForMs)];
    const reply = await look.run(this.#redis, [keys.confirmed(id), keys.claim(id)], args);
    return parseSeen(reply);
  }

  async confirm(feed: Feed, { lcut, ageMs, confirmedAgoMs }: Confirmation): Promise<void> {
    if (ageMs >= CONFIRMATION_TTL_MS) return;
    const offset = confirmedAgoMs === undefined ? UNKNOWN : round(ageMs - confirmedAgoMs);
    const args = [...this.#limits(), String(lcut), round(ageMs), offset];
    await confirm.run(this.#redis, [this.#redis.keys.confirmed(redisFeedId(feed))], args);
  }

  async refuse(feed: Feed, claimedForMs: number): Promise<void> {
    const ttlMs = round(2 * claimedForMs);
    const value = `${this.#id} ${REFUSED} ${ttlMs}`;
    await this.#redis.send("SET", [this.#redis.keys.claim(redisFeedId(feed)), value, "PX", ttlMs]);
  }

  async holdOff(feed: Feed, ms: number): Promise<void> {
    const value = `${this.#id} ${HOLD} ${round(ms)}`;
    await this.#redis.send("SET", [this.#redis.keys.claim(redisFeedId(feed)), value, "PX", round(ms)]);
  }

  announce(feed: Feed, version: VersionId): Promise<void> {
    return this.#notices.publish(redisFeedId(feed), version);
  }

  onAnnounced(listener: (topic: string, version: VersionId) => void): void {
    this.#notices.listen(listener);
  }

  async claimForPush(feed: Feed, push: string, claimedForMs: number): Promise<PushTurn> {
    const args = [this.#id, `${PUSH}${push}`, String(PUSHES_APART_MS), round(2 * claimedForMs)];
    const turn = await claimForPush.run(this.#redis, [this.#redis.keys.claim(redisFeedId(feed))], args);
    if (turn === "ours" || turn === "theirs" || turn === "too_soon") return turn;
    throw unexpectedReply();
  }

  announcePush(push: string, topics: PushTopics): Promise<void> {
    return this.#notices.publishPush(push, topics);
  }

  onPushed(listener: (push: string, topics: PushTopics) => void): void {
    this.#notices.listenToPushes(listener);
  }

  toTopic(feed: Feed): string {
    return redisFeedId(feed);
  }

  #limits(): readonly [latestLcut: string, ttlMs: string] {
    return [String(latestLcut(this.#clock.now())), String(CONFIRMATION_TTL_MS)];
  }
}

function parseSeen(reply: unknown): Seen {
  const [kind, ageMs, leftMs, claimNote, word, confirmationAgeMs, note] = Array.isArray(reply)
    ? (reply as readonly unknown[])
    : [];
  if (typeof ageMs !== "number" || typeof leftMs !== "number" || typeof confirmationAgeMs !== "number")
    throw unexpectedReply();
  const lcut = word === "" ? undefined : parseLcut(Number(word));
  const confirmedAgoMs = CONFIRMED_OFFSET.test(String(note)) ? confirmationAgeMs - Number(note) : undefined;
  const last = lcut === undefined ? undefined : { lcut, ageMs: confirmationAgeMs, confirmedAgoMs };
  switch (kind) {
    case "ours":
      return { turn: { kind }, last };
    case "claimed":
      return { turn: { kind, ageMs, leftMs, isRefused: claimNote === REFUSED }, last };
    case "confirmed":
      if (last !== undefined) return { turn: { kind }, last };
      throw unexpectedReply();
    default:
      throw unexpectedReply();
  }
}

const unexpectedReply = () => new RedisFailure("garbage", "unexpected reply to the fleet script");

const round = (ms: number): string => String(Math.round(ms));

/** The feed, the lcut, and the checksum if relays may hold another content with that lcut. */
const NOTICE = /^([\w-]{43}) (\d{1,16})(?: ([\w-]{1,600}))?$/;

/** A push: its id, and the ids of the feeds to poll, or all. */
const PUSH_NOTICE = /^push ([\w-]{1,40}) (all|[\w-]{43}(?:,[\w-]{43}){0,15})$/;

type PushListener = (push: string, topics: PushTopics) => void;

/** Called when Redis has a new version of a feed, which is identified by {@link redisFeedId}. */
type VersionListener = (feedId: string, version: VersionId) => void;

/**
 * Notifies other relays of new versions by publish and subscribe. A notice may be lost, for example during a reconnect, so
 * listeners must not rely on notices alone. On a Cluster, uses shard channels, which need Redis 7.
 */
export class RedisNotices implements AsyncDisposable {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #supervisor: Supervisor;
  readonly #listeners: VersionListener[] = [];
  readonly #pushListeners: PushListener[] = [];
  #subscriber: Subscriber | undefined;

  constructor(redis: RedisConnection, clock: Clock, supervisor: Supervisor) {
    this.#redis = redis;
    this.#clock = clock;
    this.#supervisor = supervisor;
  }

  /** Whether notices currently arrive. */
  get isListening(): boolean {
    return this.#subscriber?.isListening ?? false;
  }

  /** Calls the listener for each notice, including this relay's own. The first listener opens the connection. */
  listen(listener: VersionListener): void {
    this.#listeners.push(listener);
    this.#subscribe();
  }

  /** As {@link listen}, for pushes. */
  listenToPushes(listener: PushListener): void {
    this.#pushListeners.push(listener);
    this.#subscribe();
  }

  #subscribe(): void {
    this.#subscriber ??= new Subscriber({
      redis: this.#redis.options,
      logins: this.#redis.logins,
      permissions: this.#redis.permissions,
      channel: this.#redis.keys.versionsChannel,
      clock: this.#clock,
      supervisor: this.#supervisor,
      onMessage: (message) => this.#notify(message),
    });
  }

  /** Older relays ignore a notice with a checksum: they never replace a content. */
  async publish(feedId: string, { lcut, checksum }: VersionId): Promise<void> {
    const content = checksum === "" ? "" : ` ${Buffer.from(checksum).toString("base64url")}`;
    await this.#publish(`${feedId} ${lcut}${content}`);
  }

  /** Older relays ignore it: they look when their feeds are due. */
  async publishPush(push: string, topics: PushTopics): Promise<void> {
    await this.#publish(`push ${push} ${topics === "all" ? topics : [...topics].join(",")}`);
  }

  async #publish(notice: string): Promise<void> {
    const command = this.#redis.options.address.kind === "cluster" ? "SPUBLISH" : "PUBLISH";
    await this.#redis.send(command, [this.#redis.keys.versionsChannel, notice]);
  }

  #notify(message: string): void {
    const [, push, topics] = PUSH_NOTICE.exec(message) ?? [];
    if (push !== undefined && topics !== undefined) {
      const feeds = topics === "all" ? topics : new Set(topics.split(","));
      for (const listener of this.#pushListeners) listener(push, feeds);
      return;
    }
    const [, feedId, time, content = ""] = NOTICE.exec(message) ?? [];
    const lcut = parseLcut(Number(time));
    if (feedId === undefined || lcut === undefined) return;
    const checksum = Buffer.from(content, "base64url").toString();
    for (const listener of this.#listeners) listener(feedId, { lcut, checksum });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#subscriber?.[Symbol.asyncDispose]();
  }
}
