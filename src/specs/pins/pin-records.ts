import { hash } from "node:crypto";
import type { SdkKey } from "../../access/sdk-key.ts";
import { WakeSignal, withTimeout } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { EmitSpecEvent } from "../events.ts";
import { formatPins, type PinDocument, type PinEntry, parsePins } from "./pin-document.ts";
import type { PinStorage } from "./pin-storage.ts";

/** Returns the entry of a key after a change, or undefined for no change. */
type PinChange = (entry: PinEntry | undefined) => PinEntry | undefined;

interface PinRecordsOptions {
  /** If undefined, pins are kept in memory only. */
  readonly storage: PinStorage | undefined;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  /** Returns the current polling interval. */
  readonly intervalMs: () => number;
  /** Called when reads or writes begin to fail, and when they work again. */
  readonly emit: EmitSpecEvent;
}

/** Pins are read at least this often, however long the polling interval is. */
const MAX_READ_EVERY_MS = 10_000;
/** How long the first version of a feed waits for the first read, and each later one for another read. */
const FIRST_READ_MS = 1_000;
const READ_MS = 250;
/** How long an operator's change waits for the storage. */
const STORE_MS = 3_000;
/** How long the version of a feed, which follows from an operator's change, waits for it. */
export const FOLLOW_UP_MS = 250;
/** Other relays change the same text at the same time. */
const MAX_ATTEMPTS = 8;

/**
 * The pins of all SDK keys: those that are stored, with the changes of this relay that are not stored yet. While the storage fails,
 * what was read last applies. If it lost its data, this relay stores what it knows.
 */
export class PinRecords implements AsyncDisposable {
  readonly #options: PinRecordsOptions;
  readonly #stopping = new AbortController();
  readonly #wake = new WakeSignal();
  readonly #listeners: ((digests: readonly string[]) => void)[] = [];
  readonly #lossListeners: (() => void)[] = [];
  readonly #running: Promise<void>;
  /** What this relay has changed and the storage lacks, oldest first. */
  readonly #pending = new Map<string, readonly PinChange[]>();
  #stored: PinDocument = new Map();
  #storedText: string | undefined;
  #entries: PinDocument = new Map();
  #hasRead = false;
  #isFailing = false;
  #syncing: Promise<boolean> | undefined;
  /** Whether another relay has announced a change since the last read began. */
  #isDue = false;

  constructor(options: PinRecordsOptions) {
    this.#options = options;
    const { storage, supervisor } = options;
    storage?.onAnnounced?.(() => this.readNow());
    this.#running =
      storage === undefined
        ? Promise.resolve()
        : supervisor.loop("pin_reads", this.#stopping.signal, () => this.#round());
  }

  /** Whether pins outlive this process. */
  get isStored(): boolean {
    return this.#options.storage !== undefined;
  }

  /** Whether what applies to a key outlives this process, as far as is known. */
  isStoredOf(sdkKey: SdkKey): boolean {
    return this.isStored && !this.#pending.has(digestOf(sdkKey));
  }

  find(sdkKey: SdkKey): PinEntry | undefined {
    return this.#entries.size === 0 ? undefined : this.#entries.get(digestOf(sdkKey));
  }

  /** All entries, by {@link digestOf} the SDK key. */
  get all(): PinDocument {
    return this.#entries;
  }

  /** Calls the listener with the digests of the keys whose entries have changed, and at least once per interval. */
  listen(listener: (digests: readonly string[]) => void): void {
    this.#listeners.push(listener);
  }

  /** Reads again what is stored. Never rejects, and does not wait for a slow storage: what was read last applies then. */
  async readAgain(): Promise<void> {
    if (this.#options.storage === undefined) return;
    await withTimeout(this.#sync(), this.#hasRead ? READ_MS : FIRST_READ_MS, this.#options.clock);
  }

  /** Calls the listener when the storage had lost pins, which are stored again now: it may have lost other things as well. */
  onLoss(listener: () => void): void {
    this.#lossListeners.push(listener);
  }

  /** Reads again what is stored, which may have changed during an outage. */
  readNow(): void {
    this.#isDue = true;
    this.#wake.notify();
  }

  /**
   * Changes the entry of a key: at once for this relay, and in the storage, for which it waits at most twice `waitMs`. Returns whether
   * it is stored by then. Never rejects.
   */
  async change(sdkKey: SdkKey, change: PinChange, waitMs = STORE_MS): Promise<boolean> {
    const digest = digestOf(sdkKey);
    this.#pending.set(digest, [...(this.#pending.get(digest) ?? []), change]);
    this.#update();
    if (this.#options.storage === undefined) return false;
    const { clock } = this.#options;
    const hasWorked = await withTimeout(this.#sync(), waitMs, clock);
    // A read that was in flight may have begun before the change.
    if (hasWorked && this.#pending.has(digest)) await withTimeout(this.#sync(), waitMs, clock);
    return !this.#pending.has(digest);
  }

  async #round(): Promise<void> {
    const { clock, intervalMs } = this.#options;
    this.#isDue = false;
    await this.#sync();
    for (const listener of this.#listeners) listener([]);
    if (this.#isDue) return;
    const everyMs = Math.min(intervalMs(), MAX_READ_EVERY_MS);
    await this.#wake.wait(everyMs, clock, this.#stopping.signal);
  }

  /** Reads what is stored and stores what is pending, once for all concurrent calls. Returns false if the storage failed. */
  #sync(): Promise<boolean> {
    this.#syncing ??= this.#syncNow().finally(() => {
      this.#syncing = undefined;
    });
    return this.#syncing;
  }

  async #syncNow(): Promise<boolean> {
    const { storage, emit } = this.#options;
    if (storage === undefined) return false;
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) if (await this.#exchange(storage)) break;
      if (this.#isFailing) emit({ kind: "pins_recovered" });
      this.#isFailing = false;
      return true;
    } catch (error) {
      if (!this.#isFailing) emit({ kind: "pins_failing", detail: (error as Error).message });
      this.#isFailing = true;
      return false;
    }
  }

  /** Returns false if another relay has changed what is stored in between. */
  async #exchange(storage: PinStorage): Promise<boolean> {
    const text = await storage.read();
    const isSame = this.#hasRead && text === this.#storedText;
    const read = isSame ? this.#stored : ((text === undefined ? undefined : parsePins(text)) ?? new Map());
    // What was read before is newer if the storage lost its data, and another relay has restored what it knew.
    const stored = takeNewer(read, this.#stored);
    const isLost = stored !== read;
    this.#hasRead = true;
    const pending = new Map(this.#pending);
    const next = applyAll(stored, pending);
    const nextText = next === read ? text : formatPins(next);
    const isNew = nextText !== undefined && nextText !== text;
    if (isNew && !(await storage.replace(text, nextText))) return false;
    for (const [digest, changes] of pending) this.#settle(digest, changes);
    this.#take(next, nextText);
    // If this fails, the other relays read it with their next poll.
    if (isNew) storage.announce?.().catch(() => {});
    if (isLost) for (const listener of this.#lossListeners) listener();
    return true;
  }

  /** Removes the changes that are stored now. */
  #settle(digest: string, stored: readonly PinChange[]): void {
    const rest = (this.#pending.get(digest) ?? []).filter((change) => !stored.includes(change));
    if (rest.length === 0) this.#pending.delete(digest);
    else this.#pending.set(digest, rest);
  }

  #take(stored: PinDocument, text: string | undefined): void {
    this.#stored = stored;
    this.#storedText = text;
    this.#update();
  }

  #update(): void {
    const before = this.#entries;
    if (this.#options.storage === undefined) {
      this.#stored = applyAll(this.#stored, this.#pending);
      this.#pending.clear();
    }
    this.#entries = applyAll(this.#stored, this.#pending);
    const changed = findChanged(before, this.#entries);
    if (changed.length > 0) for (const listener of this.#listeners) listener(changed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    await this.#running;
  }
}

/** Identifies an SDK key outside of the process without revealing it. */
export const digestOf = (sdkKey: SdkKey): string => hash("sha256", sdkKey, "base64url");

function findChanged(before: PinDocument, after: PinDocument): readonly string[] {
  if (before === after) return [];
  const digests = new Set([...before.keys(), ...after.keys()]);
  const isChanged = (digest: string) =>
    JSON.stringify(before.get(digest)) !== JSON.stringify(after.get(digest));
  return [...digests].filter(isChanged);
}

/** Returns `read` with the entries of `known` that are newer, or itself if none is. */
function takeNewer(read: PinDocument, known: PinDocument): PinDocument {
  const newer = [...known].filter(
    ([digest, { changedAt }]) => changedAt > (read.get(digest)?.changedAt ?? -1),
  );
  return newer.length === 0 ? read : new Map([...read, ...newer]);
}

function applyAll(document: PinDocument, changes: ReadonlyMap<string, readonly PinChange[]>): PinDocument {
  if (changes.size === 0) return document;
  const changed = new Map(document);
  for (const [digest, ofKey] of changes) {
    for (const change of ofKey) {
      const entry = change(changed.get(digest));
      if (entry !== undefined) changed.set(digest, entry);
    }
  }
  return changed;
}
