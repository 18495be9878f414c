import { DeltaRequests } from "../../../src/specs/deltas/delta-requests.ts";
import type { SpecEvent } from "../../../src/specs/events.ts";
import type { Feed } from "../../../src/specs/feed.ts";
import type { RawPayload } from "../../../src/specs/payload/payload.ts";
import { type Preparation, prepare } from "../../../src/specs/payload/prepare.ts";
import type { SpecPreparer } from "../../../src/specs/payload/preparer.ts";
import { SpecRefresher } from "../../../src/specs/refresh.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import type { FetchOutcome, HeldVersion, SpecSource } from "../../../src/specs/source.ts";
import { SpecStore } from "../../../src/specs/store.ts";
import { FakeClock } from "../common/fake-clock.ts";
import { MAX_PAYLOAD_BYTES } from "../upstream/payloads.ts";
import { raw } from "../upstream/raw-payloads.ts";
import type { SentDelta } from "./relay-chain.ts";

type Respond = (held: HeldVersion) => FetchOutcome | Promise<FetchOutcome>;

interface DeltaFlowOptions {
  readonly requestsDeltas?: boolean;
  /** Prepares in place of the real one. */
  readonly prepare?: (raw: RawPayload) => Promise<Preparation>;
}

/** The real refresher, store and preparation, without a Worker, before an upstream that a test scripts. */
export function deltaFlow(options: DeltaFlowOptions = {}) {
  const { requestsDeltas = true } = options;
  const clock = new FakeClock();
  const events: SpecEvent[] = [];
  const asked: HeldVersion[] = [];
  /** What the backup got. */
  const written: Snapshot[] = [];
  const responses: Respond[] = [];
  const source: SpecSource = {
    async fetchSpecs(_, held) {
      asked.push(held);
      const respond = responses.shift();
      if (respond === undefined) throw new Error("there is no response left");
      return respond(held);
    },
  };
  const preparer: SpecPreparer = {
    prepare: (payload, known) =>
      options.prepare?.(payload) ?? prepare({ raw: payload, maxBytes: MAX_PAYLOAD_BYTES, known }),
    async [Symbol.asyncDispose]() {},
  };
  const store = new SpecStore({ maxKeys: 2 });
  const refresher = new SpecRefresher({
    source,
    preparer,
    deltas: requestsDeltas ? new DeltaRequests(clock) : undefined,
    store,
    clock,
    policy: { clearOnUnauthorized: false },
    // A second request in a slot of its own would wait for ever.
    maxInFlight: 1,
    intervalMs: () => 10_000,
    maxKeys: 2,
    emit: (event) => {
      if (event.kind !== "spec_poll_began") events.push(event);
    },
    backup: {
      writeAhead: async (snapshot) => {
        written.push(snapshot);
      },
      remove: () => {},
    },
    signal: new AbortController().signal,
  });
  return {
    ...{ clock, events, asked, store, written },
    /** Polls a feed once; upstream responds like this to the requests of the poll, one after the other. */
    async poll(feed: Feed, ...answers: readonly (FetchOutcome | Respond)[]) {
      responses.push(...answers.map((each) => (typeof each === "function" ? each : () => each)));
      const outcome = await refresher.refresh(feed, "poll");
      if (responses.length > 0) throw new Error(`${responses.length} responses were not requested`);
      return outcome;
    },
  };
}

/** Upstream sends a whole version, to a request that accepts a delta or not. */
export const whole =
  (body: Uint8Array, more: Partial<RawPayload> = {}): Respond =>
  ({ deltaBase }) => ({
    kind: "payload",
    raw: raw(body, "statsig-br", {
      format: "proto",
      ...(deltaBase !== undefined && { mustBeWhole: true }),
      ...more,
    }),
  });

/** Upstream sends a delta; throws if none is accepted. */
export const delta =
  ({ bytes, contentDigest }: SentDelta): Respond =>
  ({ deltaBase: base }) => {
    if (base === undefined) throw new Error("the request accepts no delta");
    return {
      kind: "payload",
      raw: raw(bytes, "statsig-br", { format: "proto", delta: { base, contentDigest } }),
    };
  };
