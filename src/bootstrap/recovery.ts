import { readFile } from "node:fs/promises";
import PQueue from "p-queue";
import { djb2 } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import { describeErrno } from "../platform/errors.ts";
import type { SpecFiles } from "../specs/acquire.ts";
import type { KnownVersions } from "../specs/deltas/compute.ts";
import type { EmitSpecEvent } from "../specs/events.ts";
import { type Feed, feedId } from "../specs/feed.ts";
import type { SpecPreparer } from "../specs/payload/preparer.ts";
import type { PreparedPayload, Snapshot } from "../specs/snapshot.ts";
import type { SpecStore } from "../specs/store.ts";
import type { SpecFile } from "./catalog.ts";
import type { EmitBootstrapEvent } from "./events.ts";
import type { BootstrapFiles } from "./files.ts";

interface BootstrapRecoveryOptions {
  readonly files: BootstrapFiles;
  readonly preparer: SpecPreparer;
  readonly findKnown: (feed: Feed) => Promise<KnownVersions | undefined>;
  readonly store: SpecStore;
  readonly maxKeys: number;
  readonly clock: Clock;
  readonly emit: EmitSpecEvent;
  readonly emitBootstrap: EmitBootstrapEvent;
}

/** Files are in memory as a whole while they are prepared. */
const MAX_CONCURRENT = 2;

/** Brings config specs from files to memory, and checks them as strictly as those from upstream. */
export class BootstrapRecovery implements SpecFiles {
  readonly #options: BootstrapRecoveryOptions;
  readonly #queue = new PQueue({ concurrency: MAX_CONCURRENT });
  readonly #inFlight = new Map<string, Promise<void>>();
  /** The files that were read for each held feed last: they are not read again until they change. */
  readonly #tried = new Map<string, string>();

  constructor(options: BootstrapRecoveryOptions) {
    this.#options = options;
    options.store.listen({ removed: ({ feed }) => this.#tried.delete(feedId(feed)) });
  }

  /** Reads the files once for all concurrent calls for a feed. Of concurrent calls, the first one decides what is wanted. */
  recover(feed: Feed, isWanted: () => boolean = () => true): Promise<void> {
    const id = feedId(feed);
    const recovering =
      this.#inFlight.get(id) ??
      this.#queue.add(() => this.#recoverNow(feed, isWanted)).finally(() => this.#inFlight.delete(id));
    this.#inFlight.set(id, recovering);
    return recovering;
  }

  /** Reads the files again for feeds that are held or wanted: the files have changed. Never rejects. */
  async update(feeds: readonly Feed[]): Promise<void> {
    for (const feed of feeds) {
      // What is in flight may have read the files as they were.
      await this.#inFlight.get(feedId(feed));
      await this.recover(feed);
    }
  }

  async #recoverNow(feed: Feed, isWanted: () => boolean): Promise<void> {
    const { files, store, emitBootstrap } = this.#options;
    await files.opened;
    const id = feedId(feed);
    for (const file of files.catalog.find(feed)) {
      const identity = `${file.name} ${file.signature}`;
      if (store.peek(feed) !== undefined && this.#tried.get(id) === identity) return;
      const problem = await this.#publish(feed, file, isWanted);
      if (store.peek(feed) !== undefined) this.#tried.set(id, identity);
      if (problem === undefined) return;
      emitBootstrap({ kind: "bootstrap_refused", feed, name: file.name, reason: problem });
    }
  }

  /** Returns why the file cannot be served; undefined if nothing is wrong with it. */
  async #publish(feed: Feed, file: SpecFile, isWanted: () => boolean): Promise<string | undefined> {
    const { preparer, findKnown, clock } = this.#options;
    const startedAt = clock.now();
    try {
      const body = new Uint8Array(await readFile(file.path));
      const raw = {
        ...{ body, contentEncoding: file.coding, format: file.format },
        ...{ headerLcut: undefined, sdkKeyHash: djb2(feed.sdkKey) },
      };
      const preparation = await preparer.prepare(raw, await findKnown(feed));
      if (preparation.kind === "refused") return preparation.detail;
      if (preparation.kind === "no_update") return "it has no config specs";
      if (isWanted()) this.#serve(feed, preparation.payload, file, startedAt);
      return undefined;
    } catch (error) {
      return "code" in (error as Error) ? describeErrno(error) : `it could not be checked: ${String(error)}`;
    }
  }

  #serve(feed: Feed, payload: PreparedPayload, { name }: SpecFile, startedAt: number): void {
    const { store, clock, emit, emitBootstrap, maxKeys } = this.#options;
    const held = store.peek(feed)?.snapshot;
    const receivedAt = clock.now();
    const snapshot: Snapshot = { ...payload, feed, source: "bootstrap", receivedAt };
    const refuse = (reason: string) => emitBootstrap({ kind: "bootstrap_refused", feed, name, reason });
    switch (store.publish(snapshot, { replacesContent: true })) {
      case "published":
        emit({ kind: "spec_updated", snapshot, previousLcut: held?.lcut, tookMs: receivedAt - startedAt });
        if (held?.lcut === payload.lcut) emitBootstrap({ kind: "bootstrap_same_time", feed, name });
        return;
      case "not_newer":
        if (held !== undefined && payload.lcut < held.lcut) refuse(describeOlder(payload.lcut, held.lcut));
        return;
      case "full":
        emit({ kind: "spec_not_held", feed, maxKeys });
        return;
      case "not_allowed":
      case "ended":
      case "held_back":
        return;
    }
  }
}

function describeOlder(lcut: number, heldLcut: number): string {
  return `its time ${lcut} is older than ${heldLcut}, which is served: give it a later time, or restart the relay`;
}
