import { KeyAdmission, KeyGate } from "../../../src/access/admission.ts";
import { AllowList } from "../../../src/access/allow-list.ts";
import type { SdkKey } from "../../../src/access/sdk-key.ts";
import { SpecAcquirer } from "../../../src/specs/acquire.ts";
import type { BackupEvent, SpecBackup } from "../../../src/specs/backup.ts";
import type { SpecEvent } from "../../../src/specs/events.ts";
import type { Feed } from "../../../src/specs/feed.ts";
import { frameSpec } from "../../../src/specs/payload/grpc-frame.ts";
import { readJsonFacts } from "../../../src/specs/payload/json.ts";
import type { SpecPreparer } from "../../../src/specs/payload/preparer.ts";
import { restamp } from "../../../src/specs/payload/restamp.ts";
import { SpecPoller } from "../../../src/specs/poller.ts";
import { SpecQuery } from "../../../src/specs/query.ts";
import { SpecRecovery } from "../../../src/specs/recovery.ts";
import { SpecRefresher } from "../../../src/specs/refresh.ts";
import { SpecStore } from "../../../src/specs/store.ts";
import { FakeClock } from "../common/fake-clock.ts";
import { strictSupervisor } from "../common/supervisors.ts";
import { ScriptedSource } from "./scripted-source.ts";

export const POLL_INTERVAL_MS = 10_000;

/** Prepares a payload without a Worker, so that a fake clock can drive its callers. */
export const instantPreparer: SpecPreparer = {
  async prepare({ body: sent, format, restampTo }) {
    const body = restampTo === undefined ? sent : restamp(sent, "json", restampTo);
    const { lcut = 0, checksum } = readJsonFacts(body);
    return {
      kind: "prepared",
      payload: {
        lcut,
        checksum,
        format,
        ...frameSpec(body, lcut),
        compressed: {},
        digest: `${lcut}${checksum}`,
      },
    };
  },
  async [Symbol.asyncDispose]() {},
};

export interface SpecFlowOptions {
  readonly maxKeys?: number;
  readonly maxInFlight?: number;
  readonly preloaded?: readonly SdkKey[];
  readonly preload?: readonly Feed[];
  readonly clearOnUnauthorized?: boolean;
  readonly maxNegativeEntries?: number;
  readonly backup?: SpecBackup;
  readonly keepsJson?: boolean;
}

/** The real store, refresher and poller with a scripted upstream and a fake clock. */
export function specFlow(options: SpecFlowOptions = {}) {
  const { maxKeys = 100, maxInFlight = 64, preloaded = [], preload = [], maxNegativeEntries = 100 } = options;
  const { backup, clearOnUnauthorized = false, keepsJson = false } = options;
  const clock = new FakeClock();
  const source = new ScriptedSource(clock);
  const store = new SpecStore({ maxKeys, preloaded });
  const events: (SpecEvent | BackupEvent)[] = [];
  const stopping = new AbortController();
  const refresher = new SpecRefresher({
    source,
    preparer: instantPreparer,
    store,
    clock,
    policy: { clearOnUnauthorized },
    maxInFlight,
    intervalMs: () => POLL_INTERVAL_MS,
    maxKeys,
    emit: (event) => events.push(event),
    signal: stopping.signal,
  });
  const recovery =
    backup &&
    new SpecRecovery({
      backup,
      preparer: instantPreparer,
      store,
      clock,
      emit: (event) => events.push(event),
      emitBackup: (event) => events.push(event),
    });
  const acquirer = new SpecAcquirer({
    refresher,
    store,
    clock,
    clearOnUnauthorized,
    emit: (event) => events.push(event),
    ...(recovery && { recovery }),
  });
  const allowList = new AllowList(undefined);
  // Admission is not tested here.
  const admission = new KeyAdmission({ allowList, maxKeys: 1_000, unknownKeysPerS: 1_000, clock });
  const gate = new KeyGate({ admission, clock, emit: () => {} });
  const poller = new SpecPoller({
    supervisor: strictSupervisor(clock),
    store,
    acquirer,
    clock,
    intervalMs: POLL_INTERVAL_MS,
    preload,
    keepsJson,
  });
  return {
    clock,
    source,
    store,
    events,
    poller,
    query: new SpecQuery({ store, acquirer, clock, maxNegativeEntries, gate, recovery }),
    /** Acquires a feed as a client's cache miss does. */
    cacheMiss: (feed: Feed) => acquirer.acquire(feed, "cache_miss"),
    /** Acquires a feed as the poller does. */
    poll: (feed: Feed) => acquirer.acquire(feed, "poll"),
    [Symbol.asyncDispose]: () => poller[Symbol.asyncDispose](),
  };
}
