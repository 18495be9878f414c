import type { Clock } from "../platform/clock.ts";
import type { VersionId } from "../specs/deltas/delta.ts";
import { isNewsTo, isOtherContent, type Snapshot } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";
import type { EmitStreamEvent } from "./events.ts";
import { Heartbeats } from "./heartbeats.ts";
import type { MessageLimit } from "./message-limit.ts";
import type { FeedFinder, FeedRequest } from "./requested-feed.ts";
import { StatusError, toStatusError, unauthorized, unavailable } from "./status-error.ts";
import type { StreamLimit } from "./stream-limit.ts";

/** A message to a client. */
export type SpecItem =
  | { readonly kind: "spec"; readonly snapshot: Snapshot }
  /** `lcut` is the one sent last, never a larger one: clients may store it as theirs (docs/protocol.md, Heartbeat). */
  | { readonly kind: "no_update"; readonly lcut: number };

export interface StreamRequest extends FeedRequest {
  /** The lcut of the version that the client has; 0 for none. */
  readonly sinceTime: number;
  /** Undefined if clients of the protocol take messages of any size. */
  readonly messageLimit?: MessageLimit | undefined;
  /** The content coding of the stream; by default none. */
  readonly coding?: "gzip" | "identity";
}

interface SpecStreamsOptions {
  readonly finder: FeedFinder;
  readonly limit: StreamLimit;
  readonly clock: Clock;
  readonly emit: EmitStreamEvent;
}

/** Opens the streams of a thread, over every protocol. */
export class SpecStreams {
  readonly #options: SpecStreamsOptions;
  readonly #heartbeats: Heartbeats;

  constructor(options: SpecStreamsOptions) {
    this.#options = options;
    this.#heartbeats = new Heartbeats(options.clock);
  }

  /**
   * Takes a place within the limit of streams. Throws a {@link StatusError} if there is none. Close the stream when the client is gone
   * or has been sent its end.
   */
  enter(): SpecStream {
    const { limit, emit } = this.#options;
    const leave = limit.enter();
    if (leave !== undefined) return new SpecStream(this.#options, this.#heartbeats, leave);
    emit({ kind: "stream_refused", code: "resource_exhausted", isFull: true });
    throw new StatusError("resource_exhausted", "Max concurrent streams reached", { limit: "streams" });
  }
}

/**
 * What one client is sent that follows a feed: the held version, then each newer one and each other content with its lcut, and
 * heartbeats. Nothing is queued, so that a slow client gets the latest version next.
 */
export class SpecStream {
  /** Called when {@link take} may have an item, or the stream has ended. */
  onReady: () => void = () => {};
  readonly #options: SpecStreamsOptions;
  readonly #heartbeats: Heartbeats;
  readonly #leave: () => void;
  #held: HeldFeed | undefined;
  #messageLimit: MessageLimit | undefined;
  #coding: "gzip" | "identity" = "identity";
  /** Why the client can't be sent the newest version. */
  #tooLarge: StatusError | undefined;
  #unfollow: (() => void) | undefined;
  /** What the client has. */
  #known: VersionId = { lcut: -1, checksum: "" };
  #sentLcut = 0;
  /** Whether a message without news is to be sent. */
  #owesNoUpdate = false;
  #isClosed = false;

  constructor(options: SpecStreamsOptions, heartbeats: Heartbeats, leave: () => void) {
    this.#options = options;
    this.#heartbeats = heartbeats;
    this.#leave = leave;
  }

  /** Begins to follow the requested feed, which resolves with it. Rejects with a {@link StatusError}, also if closed meanwhile, or an unexpected error. */
  async open(request: StreamRequest): Promise<HeldFeed> {
    return this.openHeld(request) ?? this.#openFound(request);
  }

  /** As {@link open}, at once, if the feed is held. Throws a {@link StatusError}, also if closed. */
  openHeld(request: StreamRequest): HeldFeed | undefined {
    // It would follow the feed for ever, and count as open.
    if (this.#isClosed) throw unavailable("The client is gone");
    const held = this.#options.finder.held(request);
    if (held !== undefined) this.#begin(held, request);
    return held;
  }

  /** The version that {@link take} would return now; undefined if it would return none. */
  get nextVersion(): Snapshot | undefined {
    const snapshot = this.#following?.snapshot;
    return snapshot !== undefined && this.#isNews(snapshot) ? snapshot : undefined;
  }

  /** Returns what is to be sent now; undefined if there is nothing, or the stream has ended. */
  take(): SpecItem | undefined {
    const held = this.#following;
    if (held === undefined || this.#refuseTooLarge(held) !== undefined) return undefined;
    const item = this.#takeVersion(held.snapshot) ?? this.#takeNoUpdate();
    if (item !== undefined) {
      this.#heartbeats.stop(this);
      const lcut = item.kind === "spec" ? item.snapshot.lcut : item.lcut;
      const bytes = item.kind === "spec" ? this.#measure(item.snapshot) : 0;
      this.#options.emit({ kind: "stream_sent", feed: held.feed, item: item.kind, lcut, bytes });
    }
    return item;
  }

  /** The item taken last has been sent: the next heartbeat is due {@link HEARTBEAT_MS} from now. */
  sent(): void {
    if (!this.#isClosed && this.ended === undefined) this.#heartbeats.start(this);
  }

  /** Why the stream has ended; undefined while it has not. */
  get ended(): StatusError | undefined {
    const reason = this.#held?.ended;
    if (reason === undefined) return this.#tooLarge;
    return reason === "evicted" ? unavailable("SDK key was evicted") : unauthorized();
  }

  /** The client is gone, or has been sent the end. Calling it again is harmless. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unfollow?.();
    this.#heartbeats.stop(this);
    this.#leave();
    const { limit, emit } = this.#options;
    if (this.#held !== undefined) {
      emit({ kind: "stream_closed", feed: this.#held.feed, openStreams: limit.open });
    }
  }

  heartbeatDue(): void {
    this.#owesNoUpdate = true;
    this.onReady();
  }

  async #openFound(request: StreamRequest): Promise<HeldFeed> {
    const held = await this.#options.finder.find(request).catch((error: unknown) => {
      // A client that is gone was not refused.
      if (!this.#isClosed) this.#emitRefused(toStatusError(error));
      throw error;
    });
    if (this.#isClosed) throw unavailable("The client is gone");
    this.#begin(held, request);
    return held;
  }

  #begin(held: HeldFeed, { sinceTime, messageLimit, coding = "identity" }: StreamRequest): void {
    this.#messageLimit = messageLimit;
    this.#coding = coding;
    const refusal = this.#refuseTooLarge(held);
    if (refusal !== undefined) {
      this.#emitRefused(refusal);
      throw refusal;
    }
    this.#follow(held, sinceTime);
  }

  /**
   * Returns the error for a client that can't be sent the newest version, even if it has that version: a core SDK polls over HTTP
   * only as long as it gets no message at all (docs/protocol.md, Large config specs).
   */
  #refuseTooLarge({ feed, snapshot }: HeldFeed): StatusError | undefined {
    const bytes = this.#messageLimit?.exceededBy(snapshot);
    if (bytes === undefined) return undefined;
    this.#tooLarge = this.#messageLimit?.toError(bytes);
    this.#options.emit({ kind: "spec_too_large", feed, bytes });
    return this.#tooLarge;
  }

  #emitRefused({ code }: StatusError): void {
    this.#options.emit({ kind: "stream_refused", code, isFull: false });
  }

  #follow(held: HeldFeed, sinceTime: number): void {
    const { limit, emit } = this.#options;
    this.#held = held;
    this.#unfollow = held.follow(() => this.onReady());
    const { snapshot } = held;
    const isUpToDate = !isNewsTo(sinceTime, snapshot);
    // Clients of streams send no checksum. One with the held lcut is taken to have the held content.
    const checksum = sinceTime === snapshot.lcut ? snapshot.checksum : "";
    this.#known = { lcut: isUpToDate ? sinceTime : -1, checksum };
    this.#sentLcut = snapshot.lcut;
    this.#owesNoUpdate = isUpToDate;
    emit({ kind: "stream_opened", feed: held.feed, openStreams: limit.open });
  }

  /** The feed, as long as items may follow. */
  get #following(): HeldFeed | undefined {
    return this.#isClosed || this.ended !== undefined ? undefined : this.#held;
  }

  #measure({ bytes, compressed }: Snapshot): number {
    return (this.#coding === "gzip" ? compressed.gzip : undefined)?.length ?? bytes.length;
  }

  #isNews(snapshot: Snapshot): boolean {
    return snapshot.lcut > this.#known.lcut || isOtherContent(snapshot, this.#known);
  }

  #takeVersion(snapshot: Snapshot): SpecItem | undefined {
    const isNews = this.#isNews(snapshot);
    if (snapshot.lcut >= this.#known.lcut) {
      this.#known = { lcut: snapshot.lcut, checksum: snapshot.checksum };
    }
    if (!isNews) return undefined;
    this.#sentLcut = snapshot.lcut;
    this.#owesNoUpdate = false;
    return { kind: "spec", snapshot };
  }

  #takeNoUpdate(): SpecItem | undefined {
    if (!this.#owesNoUpdate) return undefined;
    this.#owesNoUpdate = false;
    return { kind: "no_update", lcut: this.#sentLcut };
  }
}
