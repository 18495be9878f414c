import { hash } from "node:crypto";
import PQueue from "p-queue";
import { startWorker } from "#runtime/threads.ts";
import { djb2, type SdkKey } from "../access/sdk-key.ts";
import { MAX_MANIFEST_BYTES, type ManifestBackup } from "../id-lists/manifest.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import {
  type BackupRead,
  type BackupWrite,
  type Overwritable,
  type SpecBackup,
  storableHistory,
} from "../specs/backup.ts";
import { type Feed, feedDigest } from "../specs/feed.ts";
import { describeTooLarge } from "../specs/payload/payload.ts";
import type { PinStorage } from "../specs/pins/pin-storage.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import {
  isRead,
  type LocalAction,
  type LocalCall,
  type LocalOutcome,
  type LocalReply,
  listBuffers,
  type StoredVersion,
} from "./backup-calls.ts";
import type { EmitLocalEvent, LocalWork } from "./events.ts";
import { Opening } from "./opening.ts";

export interface LocalBackupOptions {
  /** The folder of the database. It is created if missing. */
  readonly path: string;
  /** The maximum number of SDK keys, at least 1. The least recently used key is evicted. */
  readonly maxKeys: number;
  /** Limit for the stored size of all bodies and histories. The file may exceed it by one version and SQLite's overhead. */
  readonly maxBytes: number;
  /** Config specs whose stored body is longer are not read. */
  readonly maxPayloadBytes: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onProblem: EmitLocalEvent;
}

const CALL_LIMIT_MS = 10_000;
/** Opening checks the whole file: about one second per GB, ten on a slow disk. */
const OPEN_LIMIT_MS = 60_000;
/** On shutdown, the time limits for the writes that wait, and for closing the database. */
const FLUSH_LIMIT_MS = 5_000;
const CLOSE_LIMIT_MS = 2_000;
/** Replaces both limits while writes fail. */
const FAILING_CLOSE_LIMIT_MS = 200;
/** Two calls, so that the Worker always has its next one. The others wait in the queue, before bodies are copied. */
const MAX_IN_FLIGHT = 2;

const CLOSED = "the local backup is closed";

/**
 * Keeps the newest version of each feed, and of the manifest of each key's ID lists, in a SQLite file that several relays on a
 * machine may share. The file is opened in the background. While it can't be used, every call rejects.
 */
export class LocalBackup implements SpecBackup, ManifestBackup {
  readonly source = "local";
  readonly #options: LocalBackupOptions;
  readonly #calls: WorkerCalls<LocalCall, LocalReply>;
  readonly #queue = new PQueue({ concurrency: MAX_IN_FLIGHT });
  readonly #health: LocalHealth;
  readonly #opening: Opening;
  readonly #openedListeners: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  constructor(options: LocalBackupOptions) {
    const { clock, supervisor, onProblem } = options;
    this.#options = options;
    this.#health = new LocalHealth(options.onProblem);
    this.#calls = new WorkerCalls({
      name: "the local backup",
      start: () => startWorker(new URL("./backup-worker.ts", import.meta.url)),
      onLost: (error) => options.supervisor.caught("local_backup_worker", error),
      limitMs: CALL_LIMIT_MS,
    });
    this.#opening = new Opening({
      loop: "local_backup_opening",
      clock,
      supervisor,
      open: async () => {
        await this.#call({ kind: "open" }, OPEN_LIMIT_MS);
      },
      onUnusable: (reason) => {
        const detail = `${reason}; the relay keeps config specs in memory only and tries again`;
        onProblem({ kind: "local_unusable", detail });
      },
      onUsable: (wasReported) => {
        if (wasReported) onProblem({ kind: "local_usable" });
      },
    });
  }

  /** Resolves after the first attempt to open the file, or after 3 seconds. */
  async attempted(): Promise<void> {
    await this.#opening.attempted();
  }

  /** Calls the listener each time the file was opened. It may be a new file that lacks versions of the last one. */
  onOpened(listener: () => void): void {
    this.#openedListeners.push(listener);
  }

  async read(feed: Feed, newerThan: number): Promise<BackupRead> {
    const { maxPayloadBytes: maxBytes } = this.#options;
    const read = { kind: "read", feedDigest: digest(feed), newerThan, maxBytes } as const;
    const outcome = await this.#queued(() => read, 1);
    switch (outcome.kind) {
      case "found": {
        this.#recordUse(digest(feed));
        const { body, contentEncoding, format, lcut, history } = outcome.version;
        const raw = { body, contentEncoding, format, headerLcut: lcut, sdkKeyHash: djb2(feed.sdkKey) };
        return { kind: "found", raw, ...(history && { history }) };
      }
      case "too_large":
        return { kind: "unusable", detail: describeTooLarge(maxBytes) };
      case "damaged":
        return {
          kind: "unusable",
          detail: "the version in the local backup was corrupt and has been deleted",
        };
      default:
        return { kind: "none" };
    }
  }

  async readHistory(feed: Feed): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const outcome = await this.#queued(() => ({ kind: "read_history", feedDigest: digest(feed) }), 1);
    return outcome.kind === "found_history" ? outcome.history : undefined;
  }

  async write(snapshot: Snapshot, instead?: Overwritable): Promise<BackupWrite> {
    const outcome = await this.#queued(() => ({
      kind: "write",
      version: toStoredVersion(snapshot),
      instead,
      hasClockTimes: false,
    }));
    if (outcome.kind === "not_newer") return outcome;
    const { replacedContent = false } = outcome.kind === "done" ? outcome : {};
    return { kind: "written", ...(replacedContent && { replacedContent }) };
  }

  async wasRemoved(): Promise<boolean> {
    return false;
  }

  touch({ feed }: Snapshot): Promise<boolean> {
    return this.#touch(digest(feed));
  }

  async #touch(feedDigest: string): Promise<boolean> {
    const outcome = await this.#queued(() => ({ kind: "touch", feedDigest }));
    return outcome.kind === "done";
  }

  /** Not awaited by reads, which work even while another process has locked the file for writing. */
  #recordUse(feedDigest: string): void {
    // A failure is reported, and the next touch makes up for it.
    this.#touch(feedDigest).catch(() => {});
  }

  async remove(feed: Feed): Promise<void> {
    await this.#queued(() => ({ kind: "remove", feedDigest: digest(feed) }));
  }

  async readManifest(sdkKey: SdkKey): Promise<string | undefined> {
    const feedDigest = manifestDigest(sdkKey);
    const read = { kind: "read", feedDigest, newerThan: -1, maxBytes: MAX_MANIFEST_BYTES } as const;
    const outcome = await this.#queued(() => read, 1);
    if (outcome.kind !== "found") return undefined;
    this.#recordUse(feedDigest);
    return new TextDecoder().decode(outcome.version.body);
  }

  async writeManifest(sdkKey: SdkKey, text: string, fetchedAt: number): Promise<void> {
    const version = (): StoredVersion => ({
      feedDigest: manifestDigest(sdkKey),
      keyDigest: sha256(sdkKey),
      lcut: fetchedAt,
      format: "json",
      contentEncoding: "",
      body: new TextEncoder().encode(text),
    });
    await this.#queued(() => ({
      kind: "write",
      version: version(),
      instead: undefined,
      hasClockTimes: true,
    }));
  }

  async removeManifest(sdkKey: SdkKey): Promise<void> {
    await this.#queued(() => ({ kind: "remove", feedDigest: manifestDigest(sdkKey) }));
  }

  /** Where the relays that share the file keep their pins. */
  readonly pins: PinStorage = {
    read: async () => {
      const outcome = await this.#queued(() => ({ kind: "read_pins" }), 1);
      return outcome.kind === "found_pins" ? outcome.text : undefined;
    },
    replace: async (expected, text) => {
      const outcome = await this.#queued(() => ({ kind: "replace_pins", expected, text }));
      return outcome.kind === "done";
    },
  };

  /** Reads have priority, because a client may be waiting. If the Worker hangs, all waiting calls reject at once. */
  async #queued(action: () => LocalAction, priority = 0): Promise<LocalOutcome> {
    if (this.#closing !== undefined) throw new Error(CLOSED);
    await this.#opening.usable();
    return await this.#queue.add(() => this.#watched(action()), { priority });
  }

  #watched(action: LocalAction): Promise<LocalOutcome> {
    return this.#health.watch(isRead(action) ? "reading" : "writing", this.#call(action));
  }

  async #call(action: LocalAction, limitMs?: number): Promise<LocalOutcome> {
    const { path: folder, maxKeys, maxBytes, clock, onProblem } = this.#options;
    const call = { limits: { folder, maxKeys, maxBytes }, now: clock.now(), action };
    const moved = action.kind === "write" ? listBuffers(action.version) : [];
    const { outcome, hasOpened, events } = await this.#calls.call(call, moved, limitMs);
    for (const event of events) onProblem(event);
    if (hasOpened) for (const listener of this.#openedListeners) listener();
    if (outcome.kind === "failed") throw new Error(outcome.detail);
    return outcome;
  }

  /** Performs the calls that wait, within a time limit, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.#opening.stop();
    if (this.#opening.isUsable) {
      const isFailing = this.#health.isFailing("writing");
      const flushLimitMs = isFailing ? FAILING_CLOSE_LIMIT_MS : FLUSH_LIMIT_MS;
      await withTimeout(this.#queue.onIdle(), flushLimitMs, this.#options.clock);
      try {
        await this.#call({ kind: "close" }, isFailing ? FAILING_CLOSE_LIMIT_MS : CLOSE_LIMIT_MS);
      } catch {
        // The file is intact anyway, as after kill -9.
      }
    }
    // Also terminates a Worker that is waiting for a lock.
    await this.#calls[Symbol.asyncDispose]();
    await this.#opening[Symbol.asyncDispose]();
  }
}

/** In order of preference: zstd is the fastest to decode. */
const COMPACT_CODINGS = ["zstd", "br", "gzip"] as const;

/** Copies the bytes: they are transferred to the Worker, and the snapshot's own are shared by all responses. */
function toStoredVersion(snapshot: Snapshot): StoredVersion {
  const { feed, lcut, format, bytes, compressed } = snapshot;
  const coding = COMPACT_CODINGS.find((each) => compressed[each] !== undefined);
  const plainEncoding = format === "proto" ? "statsig-br" : "";
  const history = storableHistory(snapshot)?.slice();
  return {
    feedDigest: digest(feed),
    keyDigest: sha256(feed.sdkKey),
    lcut,
    format,
    contentEncoding: coding ?? plainEncoding,
    body: ((coding && compressed[coding]) ?? bytes).slice(),
    ...(history && { history }),
  };
}

/** Never equals the digest of a feed: the ids of feeds start with "v1/" or "v2/". */
const manifestDigest = (sdkKey: SdkKey): string => sha256(`id-lists/${sdkKey}`);
const digest = (feed: Feed): string => feedDigest(feed, "hex");
const sha256 = (text: string): string => hash("sha256", text, "hex");

/** Emits one event when reads or writes begin to fail, and one when they work again. */
class LocalHealth {
  readonly #emit: EmitLocalEvent;
  readonly #failing = new Set<LocalWork>();

  constructor(emit: EmitLocalEvent) {
    this.#emit = emit;
  }

  isFailing(doing: LocalWork): boolean {
    return this.#failing.has(doing);
  }

  /** Settles as `work` does. */
  async watch<T>(doing: LocalWork, work: Promise<T>): Promise<T> {
    try {
      const done = await work;
      if (this.#failing.delete(doing)) this.#emit({ kind: "local_recovered", doing });
      return done;
    } catch (error) {
      if (!this.#failing.has(doing)) {
        this.#failing.add(doing);
        this.#emit({ kind: "local_failing", doing, detail: (error as Error).message });
      }
      throw error;
    }
  }
}
