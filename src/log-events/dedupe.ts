/** The parts of an exposure's identity that come from its batch. */
interface ExposureContext {
  readonly sdkKey: string;
  /** `stableID` of the batch's statsigMetadata, used for events without one of their own. */
  readonly batchStableId: unknown;
}

const MINUTE_MS = 60_000;

/** Replaces invalid UTF-8 in decoded text, so that two equal texts that contain it may have been different. */
const REPLACEMENT = "\uFFFD";

/**
 * Returns a text that two exposures share only if one is a duplicate of the other (docs/protocol.md, Exposure identity).
 * Returns undefined if the event is not an exposure, or if its identity is uncertain: forwarding a duplicate does less harm
 * than dropping an event.
 */
export function identifyExposure(event: unknown, { sdkKey, batchStableId }: ExposureContext) {
  const fields = asObject(event);
  const metadata = asObject(fields?.["metadata"]);
  if (fields === undefined || metadata === undefined) return undefined;
  const exposed = identifyExposed(fields["eventName"], metadata);
  const time = fields["time"];
  if (exposed === undefined || typeof time !== "number" || !Number.isSafeInteger(Math.trunc(time))) {
    return undefined;
  }
  const user = asObject(fields["user"]);
  const own = asObject(fields["statsigMetadata"])?.["stableID"];
  const identity = [
    sdkKey,
    ...exposed,
    orMissing(metadata["ruleID"]),
    // A user object is identified by these two fields, any other value by itself.
    user === undefined ? orMissing(fields["user"]) : [orMissing(user["userID"]), sortIds(user["customIDs"])],
    orMissing(own ?? batchStableId),
    Math.floor(time / MINUTE_MS),
  ];
  return toExactText(identity);
}

function identifyExposed(
  name: unknown,
  metadata: Readonly<Record<string, unknown>>,
): readonly unknown[] | undefined {
  switch (name) {
    case "statsig::gate_exposure":
      return ["gate", orMissing(metadata["gate"]), orMissing(metadata["gateValue"])];
    case "statsig::config_exposure":
      return ["config", orMissing(metadata["config"])];
    default:
      return undefined;
  }
}

/** Returns the IDs in an order that does not depend on the SDK's. */
function sortIds(customIds: unknown): unknown {
  const fields = asObject(customIds);
  if (fields === undefined) return orMissing(customIds);
  return [{}, ...Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))];
}

/** Deeper than anything an SDK sends. Serializing a value takes time quadratic in its depth, which clients control. */
const MAX_LEVELS = 16;

/** Distinguishes a missing value from null, which JSON.stringify would make of undefined. */
const MISSING = { missing: [] } as const;
const orMissing = (value: unknown): unknown => (value === undefined ? MISSING : value);

/** Returns undefined if the text may not identify the exposure exactly. */
function toExactText(identity: readonly unknown[]): string | undefined {
  if (!isExact(identity, MAX_LEVELS)) return undefined;
  const text = JSON.stringify(identity);
  return text.includes(REPLACEMENT) ? undefined : text;
}

/** Returns false if a number may have been rounded by parsing, or if the value is nested too deeply. */
function isExact(value: unknown, levels: number): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "object" || value === null) return true;
  if (levels === 0) return false;
  if (Array.isArray(value)) return value.every((each) => isExact(each, levels - 1));
  return Object.values(value).every((each) => isExact(each, levels - 1));
}

/** Returns the value if it is a JSON object, else undefined. */
export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}

/** 32-bit words of a digest. With 128 bits, the odds that any two of 2,000,000 digests are equal are 1 in 10^26. */
export const DIGEST_WORDS = 4;

const FIRST_CAPACITY = 16_384;

/**
 * The last `limit` digests; a new one evicts the oldest. A ring holds them in the order of arrival, and a hash table with open
 * addressing holds places in the ring. Both double when full, so that an idle relay uses little memory. At the limit, a
 * digest takes at most 32 bytes: 16 in the ring, and two to four slots of 4 bytes in the table.
 */
export class SeenDigests {
  readonly #limit: number;
  #capacity: number;
  #ring: Uint32Array;
  /** Each slot holds a place in the ring + 1, or 0 if it is free. */
  #table: Uint32Array;
  #mask: number;
  #count = 0;
  /** The place of the next digest. Once the ring is full, the oldest is there. */
  #next = 0;
  /** How many times every digest has been evicted since the start. */
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

  /** Returns whether digest number `index` of `digests` is in the window. */
  has(digests: Uint32Array, index: number): boolean {
    const at = index * DIGEST_WORDS;
    for (let slot = word(digests, at) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = word(this.#table, slot);
      if (entry === 0) return false;
      if (this.#equals((entry - 1) * DIGEST_WORDS, digests, at)) return true;
    }
  }

  /** Adds all of them. Returns true if that completed another turn of the ring: everything in it has been evicted once more. */
  addAll(digests: Uint32Array): boolean {
    const before = this.#turns;
    for (let index = 0; index * DIGEST_WORDS < digests.length; index++) this.add(digests, index);
    return this.#turns > before;
  }

  /** Adds one digest. One that is in the window already keeps its age. */
  add(digests: Uint32Array, index: number): void {
    if (this.has(digests, index)) return;
    if (this.#count === this.#capacity && this.#capacity < this.#limit) this.#grow();
    const isFull = this.#count === this.#capacity;
    if (isFull) this.#evict(this.#next);
    else this.#count++;
    const at = index * DIGEST_WORDS;
    this.#ring.set(digests.subarray(at, at + DIGEST_WORDS), this.#next * DIGEST_WORDS);
    this.#insert(this.#next);
    this.#next = (this.#next + 1) % this.#capacity;
    if (this.#next === 0 && isFull) this.#turns++;
  }

  #equals(inRing: number, digests: Uint32Array, at: number): boolean {
    for (let i = 0; i < DIGEST_WORDS; i++) if (this.#ring[inRing + i] !== digests[at + i]) return false;
    return true;
  }

  #home(entry: number): number {
    return word(this.#ring, (entry - 1) * DIGEST_WORDS) & this.#mask;
  }

  #insert(place: number): void {
    let slot = this.#home(place + 1);
    while (this.#table[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#table[slot] = place + 1;
  }

  /** Frees the entry's slot and closes the gap: later entries that may be nearer to their home slot move up. */
  #evict(place: number): void {
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

  /** Called only before the ring first wraps around, so that every place stays valid. */
  #grow(): void {
    this.#next = this.#count;
    this.#capacity = Math.min(this.#limit, 2 * this.#capacity);
    const ring = new Uint32Array(this.#capacity * DIGEST_WORDS);
    ring.set(this.#ring);
    this.#ring = ring;
    this.#table = new Uint32Array(tableSize(this.#capacity));
    this.#mask = this.#table.length - 1;
    for (let place = 0; place < this.#count; place++) this.#insert(place);
  }
}

/** Returns a power of two that keeps the table at most half full. */
function tableSize(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, 2 * capacity)));
}

function word(words: Uint32Array, at: number): number {
  return words[at] ?? 0;
}
