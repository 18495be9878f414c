import { afterEach, beforeEach, expect, test } from "bun:test";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { toShared } from "../../src/platform/shared-bytes.ts";
import { Supervisor } from "../../src/platform/supervisor.ts";
import type { ProfilingGateEvent } from "../../src/profiling/gate/events.ts";
import { ProfilingGate } from "../../src/profiling/gate/gate.ts";
import { toGateFeed } from "../../src/profiling/gate/payload.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import type { SpecStore } from "../../src/specs/store.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import { GATE_KEY, gateOf, gateSpecs, PROFILING_GATE, slowGate } from "../support/profiling/gate-project.ts";
import { everyone } from "../support/upstream/payloads.ts";

const PATIENT = { withinMs: 20_000 };

const FIRST_RETRY_MS = 10_000;
const MAX_RETRY_MS = 30 * 60_000;

/** What happens to Workers that are started: the system has none, or they end at once, as without memory. */
let workers: "run" | "refused" | "lost" = "run";
const { Worker: RealWorker } = globalThis;

beforeEach(() => {
  workers = "run";
  globalThis.Worker = class extends RealWorker {
    constructor(entry: string | URL, options?: WorkerOptions) {
      if (workers === "refused") throw new Error("EAGAIN: no thread can be started");
      super(entry, options);
      // Before it can have evaluated anything, and once its owner listens to it.
      if (workers === "lost") queueMicrotask(() => this.terminate());
    }
  };
});
afterEach(() => {
  globalThis.Worker = RealWorker;
});

const SDK_KEY = GATE_KEY as SdkKey;

function versionOf(number: number, gates: readonly Record<string, unknown>[]): Snapshot {
  const bytes = toShared(Buffer.from(JSON.stringify(gateSpecs(number, gates))));
  return { lcut: number, bytes } as unknown as Snapshot;
}

const on = (number: number) => versionOf(number, [gateOf(PROFILING_GATE, [everyone])]);

/** A gate whose waits are on a fake clock, but for the limit of an evaluation. */
function openGate({ podID = "relay-7", ...options }: { podID?: string; evaluationLimitMs?: number } = {}) {
  const clock = new FakeClock();
  const events: ProfilingGateEvent[] = [];
  const turns: boolean[] = [];
  const bugs: string[] = [];
  const listeners: Parameters<SpecStore["listen"]>[0][] = [];
  const gate = new ProfilingGate({
    ...{ sdkKey: SDK_KEY, customIds: { podID }, clock, ...options },
    store: { listen: (listener) => listeners.push(listener), peek: () => undefined },
    supervisor: new Supervisor({ clock, emit: ({ kind }) => bugs.push(kind) }),
    turn: (isOn) => turns.push(isOn),
    emit: (event) => events.push(event),
  });
  const publish = (snapshot: Snapshot) => {
    for (const { published } of listeners) published?.({ feed: toGateFeed(SDK_KEY), snapshot } as never);
  };
  const failures = () => events.filter((event) => event.kind === "profiling_gate_failed");
  /** Resolves with the last failure, once this many were reported, and none is being evaluated. */
  const failed = async (times: number) => {
    await eventually(() => expect(failures()).toHaveLength(times), PATIENT);
    return failures().at(-1);
  };
  const [dispose, turned] = [
    () => gate[Symbol.asyncDispose](),
    (turn: readonly boolean[]) => eventually(() => expect(turns).toEqual([...turn]), PATIENT),
  ];
  return { gate, clock, events, bugs, publish, failed, turned, [Symbol.asyncDispose]: dispose };
}

test.each([
  ["refused", "EAGAIN: no thread can be started"],
  ["lost", "the gate worker ended"],
] as const)("a version whose Worker is %s is evaluated again, at longer intervals", async (state, detail) => {
  await using gate = openGate();
  workers = state;
  gate.publish(on(1));
  for (let attempt = 0; attempt < 10; attempt++) {
    const failure = await gate.failed(attempt + 1);
    const longest = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
    expect(failure).toMatchObject({ lcut: 1, detail });
    expect(failure?.retryInMs).toBeWithin(longest / 2, longest + 1);
    await eventually(() => expect(gate.clock.nextWakeInMs).toBe(failure?.retryInMs), PATIENT);
    if (attempt === 9) workers = "run";
    await gate.clock.advance(failure?.retryInMs ?? 0);
  }
  await gate.turned([true]);
  expect(gate.clock.sleeping).toBe(0);
  expect(gate.bugs).toEqual([]);
});

test("a version that comes meanwhile is evaluated at once, and the one before no more", async () => {
  await using gate = openGate();
  workers = "refused";
  gate.publish(on(1));
  await gate.failed(1);
  await eventually(() => expect(gate.clock.sleeping).toBe(1), PATIENT);
  workers = "run";
  gate.publish(on(2));
  await gate.turned([true]);
  expect(gate.events.map(({ kind, lcut }) => [kind, lcut])).toEqual([
    ["profiling_gate_failed", 1],
    ["profiling_gate_evaluated", 2],
    ["profiling_gate_turned", 2],
  ]);
  expect(gate.clock.sleeping).toBe(0);
});

test("a version that the SDK cannot read is not tried again", async () => {
  await using gate = openGate();
  gate.publish(versionOf(1, [{ name: PROFILING_GATE, type: "feature_gate" }]));
  const failure = await gate.failed(1);
  expect(failure).toMatchObject({ detail: "the SDK cannot read the config specs", retryInMs: undefined });
  // The next version is taken, and nothing waits.
  gate.publish(on(2));
  await gate.turned([true]);
  expect(gate.clock.sleeping).toBe(0);
});

test("a version whose evaluation takes too long is given up, and not tried again", async () => {
  await using gate = openGate({ podID: `${"a".repeat(40)}!`, evaluationLimitMs: 2_000 });
  gate.publish(versionOf(1, [slowGate(PROFILING_GATE, 100)]));
  const failure = await gate.failed(1);
  const detail = "the gate worker did not respond within 2000 ms";
  expect(failure).toMatchObject({ detail, retryInMs: undefined });
  gate.publish(versionOf(2, []));
  await eventually(() => expect(gate.events.at(-1)).toMatchObject({ lcut: 2 }), PATIENT);
  expect(gate.events.map(({ kind }) => kind)).toEqual(["profiling_gate_failed", "profiling_gate_evaluated"]);
  expect(gate.clock.sleeping).toBe(0);
});

test("the end of the relay ends the wait", async () => {
  await using gate = openGate();
  workers = "refused";
  gate.publish(on(1));
  await eventually(() => expect(gate.clock.sleeping).toBe(1), PATIENT);
  await gate.gate[Symbol.asyncDispose]();
  expect(gate.clock.sleeping).toBe(0);
  workers = "run";
  gate.publish(on(2));
  await using control = openGate();
  control.publish(on(2));
  await control.turned([true]);
  expect(gate.events.map(({ kind }) => kind)).toEqual(["profiling_gate_failed"]);
});
