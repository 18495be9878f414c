import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import PQueue from "p-queue";
import { djb2, type SdkKey } from "../access/sdk-key.ts";
import { MAX_MANIFEST_BYTES, type ManifestBackup } from "../id-lists/manifest.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import type { BackupRead, BackupWrite, SpecBackup } from "../specs/backup.ts";
import { type Feed, feedId } from "../specs/feed.ts";
import { describeTooLarge } from "../specs/payload/payload.ts";
import type { Snapshot } from "../specs/snapshot.ts";
import type { KeptVersion, LocalAction, LocalCall, LocalOutcome, LocalReply } from "./backup-calls.ts";
import type { EmitLocalEvent, LocalWork } from "./events.ts";
import { Opening } from "./managed-file.ts";

export interface LocalBackupOptions {
  /** The folder of the database; made where there is none. */
  readonly path: string;
  /** SDK keys that it may hold, at least 1; the least recently used makes room. */
  readonly maxKeys: number;
  /** Of all bodies, as they are kept. The file may grow beyond by one version and what SQLite needs. */
  readonly maxBytes: number;
  /** No config spec that is longer, as it is kept, is read. */
  readonly maxPayloadBytes: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly onProblem: EmitLocalEvent;
}

const CALL_LIMIT_MS = 10_000;
/** The whole file is checked: about a second per GB, on a slow disk ten. */
const OPEN_LIMIT_MS = 60_000;
/** What is still to be written on shutdown has this long, and the database to close this long. */
const FLUSH_LIMIT_MS = 5_000;
const CLOSE_LIMIT_MS = 2_000;
/** Both, while the file can't be written. */
const FAILING_CLOSE_LIMIT_MS = 200;
/** Calls in the Worker's hands: the next arrives while one is worked on. The rest wait here, without copies. */
const MAX_IN_HAND = 2;

const CLOSED = "the embedded backup is closed";

/**
 * Keeps the newest version of each feed, and of each key's ID lists, in a SQLite file that several relays on a machine
 * may share. The file is opened in the background: while it can't be used, every call is rejected.
 */
export class LocalBackup implements SpecBackup, ManifestBackup {
  readonly source = "local";
  readonly #options: LocalBackupOptions;
  readonly #calls: WorkerCalls<LocalCall, LocalReply>;
  readonly #queue = new PQueue({ concurrency: MAX_IN_HAND });
  readonly #health: LocalHealth;
  readonly #opening: Opening;
  readonly #openedListeners: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  constructor(options: LocalBackupOptions) {
    const { clock, supervisor, onProblem } = options;
    this.#options = options;
    this.#health = new LocalHealth(options.onProblem);
    this.#calls = new WorkerCalls({
      name: "the embedded backup",
      start: () => new Worker(new URL("./backup-worker.ts", import.meta.url)),
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
        const detail = `${reason}; the relay goes on with memory only, and tries again`;
        onProblem({ kind: "local_unusable", detail });
      },
      onUsable: (wasReported) => {
        if (wasReported) onProblem({ kind: "local_usable" });
      },
    });
  }

  /** Resolves once it is known whether the file can be used, but never waits for long. */
  async attempted(): Promise<void> {
    await this.#opening.attempted();
  }

  /** Calls back each time that the file was opened: it may be another one than before, and lack what that had. */
  onOpened(listener: () => void): void {
    this.#openedListeners.push(listener);
  }

  async read(feed: Feed, newerThan: number): Promise<BackupRead> {
    const { maxPayloadBytes: maxBytes } = this.#options;
    const read = { kind: "read", feedDigest: feedDigest(feed), newerThan, maxBytes } as const;
    const outcome = await this.#queued(() => read, 1);
    switch (outcome.kind) {
      case "found": {
        this.#used(feedDigest(feed));
        const { body, contentEncoding, format, lcut } = outcome.version;
        const sdkKeyHash = djb2(feed.sdkKey);
        return { kind: "found", raw: { body, contentEncoding, format, headerLcut: lcut, sdkKeyHash } };
      }
      case "too_large":
        return { kind: "unusable", detail: describeTooLarge(maxBytes) };
      case "damaged":
        return { kind: "unusable", detail: "what the embedded backup had was damaged, and is deleted" };
      default:
        return { kind: "none" };
    }
  }

  async write(snapshot: Snapshot, instead?: number): Promise<BackupWrite> {
    const outcome = await this.#queued(() => ({
      kind: "write",
      version: versionOf(snapshot),
      instead,
      hasClockTimes: false,
    }));
    return outcome.kind === "not_newer" ? outcome : { kind: "written" };
  }

  async wasRemoved(): Promise<boolean> {
    return false;
  }

  touch({ feed }: Snapshot): Promise<boolean> {
    return this.#touch(feedDigest(feed));
  }

  async #touch(feedDigest: string): Promise<boolean> {
    const outcome = await this.#queued(() => ({ kind: "touch", feedDigest }));
    return outcome.kind === "done";
  }

  /** Not a part of reading, which works also while another process has the file locked. */
  #used(feedDigest: string): void {
    // Reported, and made up for by the next touch.
    this.#touch(feedDigest).catch(() => {});
  }

  async remove(feed: Feed): Promise<void> {
    await this.#queued(() => ({ kind: "remove", feedDigest: feedDigest(feed) }));
  }

  async readManifest(sdkKey: SdkKey): Promise<string | undefined> {
    const feedDigest = manifestDigest(sdkKey);
    const read = { kind: "read", feedDigest, newerThan: -1, maxBytes: MAX_MANIFEST_BYTES } as const;
    const outcome = await this.#queued(() => read, 1);
    if (outcome.kind !== "found") return undefined;
    this.#used(feedDigest);
    return new TextDecoder().decode(outcome.version.body);
  }

  async writeManifest(sdkKey: SdkKey, text: string, fetchedAt: number): Promise<void> {
    const version = (): KeptVersion => ({
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

  /** Reads go first: a client may be waiting. Should the Worker hang, all that wait are rejected at once. */
  async #queued(action: () => LocalAction, priority = 0): Promise<LocalOutcome> {
    if (this.#closing !== undefined) throw new Error(CLOSED);
    await this.#opening.usable();
    return await this.#queue.add(() => this.#watched(action()), { priority });
  }

  #watched(action: LocalAction): Promise<LocalOutcome> {
    return this.#health.watch(action.kind === "read" ? "reading" : "writing", this.#call(action));
  }

  async #call(action: LocalAction, limitMs?: number): Promise<LocalOutcome> {
    const { path: folder, maxKeys, maxBytes, clock, onProblem } = this.#options;
    const call = { limits: { folder, maxKeys, maxBytes }, now: clock.now(), action };
    const moved = action.kind === "write" ? [action.version.body.buffer] : [];
    const { outcome, hasOpened, events } = await this.#calls.call(call, moved, limitMs);
    for (const event of events) onProblem(event);
    if (hasOpened) for (const listener of this.#openedListeners) listener();
    if (outcome.kind === "failed") throw new Error(outcome.detail);
    return outcome;
  }

  /** What was asked for is still done, where that does not take long. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.#opening.stop();
    if (this.#opening.isUsable) {
      const isFailing = this.#health.isFailing("writing");
      const flushLimitMs = isFailing ? FAILING_CLOSE_LIMIT_MS : FLUSH_LIMIT_MS;
      await Promise.race([this.#queue.onIdle(), sleep(flushLimitMs, undefined, { ref: false })]);
      try {
        await this.#call({ kind: "close" }, isFailing ? FAILING_CLOSE_LIMIT_MS : CLOSE_LIMIT_MS);
      } catch {
        // As after kill -9: the file is whole all the same.
      }
    }
    // Also ends a Worker that waits for a lock.
    await this.#calls[Symbol.asyncDispose]();
    await this.#opening[Symbol.asyncDispose]();
  }
}

/** The first that there is: zstd is decoded in the least time. */
const COMPACT_CODINGS = ["zstd", "br", "gzip"] as const;

/** The body is a copy: the snapshot's own bytes are shared by every answer. */
function versionOf(snapshot: Snapshot): KeptVersion {
  const { feed, lcut, format, bytes, compressed } = snapshot;
  const coding = COMPACT_CODINGS.find((each) => compressed[each] !== undefined);
  const plainEncoding = format === "proto" ? "statsig-br" : "";
  return {
    feedDigest: feedDigest(feed),
    keyDigest: sha256(feed.sdkKey),
    lcut,
    format,
    contentEncoding: coding ?? plainEncoding,
    body: ((coding && compressed[coding]) ?? bytes).slice(),
  };
}

/** No feed's: those begin with their version. */
const manifestDigest = (sdkKey: SdkKey): string => sha256(`id-lists/${sdkKey}`);
const feedDigest = (feed: Feed): string => sha256(feedId(feed));
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Whether the embedded backup can be read and written: told once when it no longer can, and once when it can again. */
class LocalHealth {
  readonly #emit: EmitLocalEvent;
  readonly #failing = new Set<LocalWork>();

  constructor(emit: EmitLocalEvent) {
    this.#emit = emit;
  }

  isFailing(doing: LocalWork): boolean {
    return this.#failing.has(doing);
  }

  /** What the work comes to. */
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
