/** What an exposure shares with its batch. */
interface ExposureContext {
  readonly sdkKey: string;
  /** `stableID` of the batch's statsigMetadata, for events that name none. */
  readonly batchStableId: unknown;
}

const MINUTE_MS = 60_000;

/** Stands in decoded text for bytes that were no UTF-8: two texts that hold it may have been different. */
const REPLACEMENT = "\uFFFD";

/**
 * A text that two exposures share only where the one repeats the other (WIRE 5); undefined for what is no
 * exposure. Where it can't be told for sure, it is undefined too: an event too many does less harm than
 * one too few.
 */
export function exposureIdentity(event: unknown, { sdkKey, batchStableId }: ExposureContext) {
  const fields = fieldsOf(event);
  const metadata = fieldsOf(fields?.["metadata"]);
  if (fields === undefined || metadata === undefined) return undefined;
  const what = exposed(fields["eventName"], metadata);
  const time = fields["time"];
  if (what === undefined || typeof time !== "number" || !Number.isSafeInteger(Math.trunc(time))) {
    return undefined;
  }
  const user = fieldsOf(fields["user"]);
  const own = fieldsOf(fields["statsigMetadata"])?.["stableID"];
  const identity = [
    sdkKey,
    ...what,
    known(metadata["ruleID"]),
    // A user that is no object identifies as it is; of an object these fields do.
    user === undefined ? known(fields["user"]) : [known(user["userID"]), sorted(user["customIDs"])],
    known(own ?? batchStableId),
    Math.floor(time / MINUTE_MS),
  ];
  return exactText(identity);
}

function exposed(name: unknown, metadata: Readonly<Record<string, unknown>>): readonly unknown[] | undefined {
  switch (name) {
    case "statsig::gate_exposure":
      return ["gate", known(metadata["gate"]), known(metadata["gateValue"])];
    case "statsig::config_exposure":
      return ["config", known(metadata["config"])];
    default:
      return undefined;
  }
}

/** In whatever order an SDK names them. */
function sorted(customIds: unknown): unknown {
  const fields = fieldsOf(customIds);
  if (fields === undefined) return known(customIds);
  return [{}, ...Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))];
}

/** Deeper than anything that an SDK sends. To put into text what a client nested without end takes the square of its depth. */
const MAX_LEVELS = 16;

/** What is missing is told from null, as which it would come out in JSON. */
const MISSING = { missing: [] } as const;
const known = (value: unknown): unknown => (value === undefined ? MISSING : value);

function exactText(identity: readonly unknown[]): string | undefined {
  if (!isExact(identity, MAX_LEVELS)) return undefined;
  const text = JSON.stringify(identity);
  return text.includes(REPLACEMENT) ? undefined : text;
}

/** Numbers that parsing may have rounded make the identity unsure. */
function isExact(value: unknown, levels: number): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "object" || value === null) return true;
  if (levels === 0) return false;
  if (Array.isArray(value)) return value.every((each) => isExact(each, levels - 1));
  return Object.values(value).every((each) => isExact(each, levels - 1));
}

/** The fields of a JSON object; undefined if the value is something else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}

/** 32-bit words of a digest: 128 bits, so that of 2,000,000 the odds of any two alike are 1 in 10^26. */
export const DIGEST_WORDS = 4;

const FIRST_CAPACITY = 16_384;

/**
 * The last `limit` digests, of which the oldest makes room: a ring of them in the order in which they came, and
 * a hash table of places in the ring (open addressing). Both double when full, so that an idle relay holds
 * little. At most 32 bytes for each digest at the limit: 16 in the ring, two to four slots of 4 in the table.
 */
export class SeenDigests {
  readonly #limit: number;
  #capacity: number;
  #ring: Uint32Array;
  /** Place in the ring + 1; 0 is free. */
  #table: Uint32Array;
  #mask: number;
  #count = 0;
  /** Where the next goes; the oldest is there once the ring is full. */
  #next = 0;
  /** How often everything that was remembered has made room for newer ones. */
  #turns = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#capacity = Math.min(limit, FIRST_CAPACITY);
    this.#ring = new Uint32Array(this.#capacity * DIGEST_WORDS);
    this.#table = new Uint32Array(tableSize(this.#capacity));
    this.#mask = this.#table.length - 1;
  }

  get count(): number {
    return this.#count;
  }

  get allocatedBytes(): number {
    return this.#ring.byteLength + this.#table.byteLength;
  }

  /** Whether the digest at this place of `digests` is remembered. */
  has(digests: Uint32Array, index: number): boolean {
    const at = index * DIGEST_WORDS;
    for (let slot = word(digests, at) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = word(this.#table, slot);
      if (entry === 0) return false;
      if (this.#equals((entry - 1) * DIGEST_WORDS, digests, at)) return true;
    }
  }

  /** Remembers all of them. Returns whether with these all that was remembered has made room for newer ones, once more. */
  addAll(digests: Uint32Array): boolean {
    const before = this.#turns;
    for (let index = 0; index * DIGEST_WORDS < digests.length; index++) this.add(digests, index);
    return this.#turns > before;
  }

  /** Remembers it; one that is remembered already grows no younger. */
  add(digests: Uint32Array, index: number): void {
    if (this.has(digests, index)) return;
    if (this.#count === this.#capacity && this.#capacity < this.#limit) this.#grow();
    const hasForgotten = this.#count === this.#capacity;
    if (hasForgotten) this.#forget(this.#next);
    else this.#count++;
    const at = index * DIGEST_WORDS;
    this.#ring.set(digests.subarray(at, at + DIGEST_WORDS), this.#next * DIGEST_WORDS);
    this.#enter(this.#next);
    this.#next = (this.#next + 1) % this.#capacity;
    if (this.#next === 0 && hasForgotten) this.#turns++;
  }

  #equals(inRing: number, digests: Uint32Array, at: number): boolean {
    for (let i = 0; i < DIGEST_WORDS; i++) if (this.#ring[inRing + i] !== digests[at + i]) return false;
    return true;
  }

  #home(entry: number): number {
    return word(this.#ring, (entry - 1) * DIGEST_WORDS) & this.#mask;
  }

  #enter(place: number): void {
    let slot = this.#home(place + 1);
    while (this.#table[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#table[slot] = place + 1;
  }

  /** Closes the gap: entries behind it that may stand nearer to their home move up. */
  #forget(place: number): void {
    let gap = this.#home(place + 1);
    while (this.#table[gap] !== place + 1) gap = (gap + 1) & this.#mask;
    for (let slot = (gap + 1) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = word(this.#table, slot);
      if (entry === 0) break;
      const fromHome = (slot - this.#home(entry)) & this.#mask;
      if (fromHome < ((slot - gap) & this.#mask)) continue;
      this.#table[gap] = entry;
      gap = slot;
    }
    this.#table[gap] = 0;
  }

  /** Only ever called before the ring first comes round: places stay as they are. */
  #grow(): void {
    this.#next = this.#count;
    this.#capacity = Math.min(this.#limit, 2 * this.#capacity);
    const ring = new Uint32Array(this.#capacity * DIGEST_WORDS);
    ring.set(this.#ring);
    this.#ring = ring;
    this.#table = new Uint32Array(tableSize(this.#capacity));
    this.#mask = this.#table.length - 1;
    for (let place = 0; place < this.#count; place++) this.#enter(place);
  }
}

/** A power of two, at most half full. */
function tableSize(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, 2 * capacity)));
}

function word(words: Uint32Array, at: number): number {
  return words[at] ?? 0;
}
