import { describe, expect, test } from "bun:test";
import { Supervisor } from "../../src/platform/supervisor.ts";
import { CloudProfilerApi } from "../../src/profiling/cloud/api.ts";
import { CloudProfiler } from "../../src/profiling/cloud/cloud-profiler.ts";
import type { CloudProfilerEvent } from "../../src/profiling/cloud/events.ts";
import { MetadataServer } from "../../src/profiling/cloud/metadata.ts";
import { Profiler } from "../../src/profiling/profiler.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { eventually } from "../support/common/wait.ts";
import {
  type ApiAnswer,
  cpu,
  FakeCloudProfilerApi,
  heap,
  refusal,
  retryInfo,
} from "../support/profiling/cloud-profiler-api.ts";
import { FakeMetadataServer } from "../support/profiling/metadata-server.ts";

const PATIENT = { withinMs: 20_000 };

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** An agent in this process whose waits are on a fake clock. Its servers are real ones, and so are its profiles. */
async function startAgent() {
  await using starting = new AsyncDisposableStack();
  const clock = new FakeClock();
  const metadata = starting.use(await FakeMetadataServer.start());
  const api = starting.use(await FakeCloudProfilerApi.start());
  const events: CloudProfilerEvent[] = [];
  /** `works`, or why not. */
  const health: string[] = [];
  const bugs: string[] = [];
  // The library's requests to the metadata server use the variable.
  const before = process.env["GCE_METADATA_HOST"];
  process.env["GCE_METADATA_HOST"] = metadata.host;
  starting.defer(() => {
    if (before === undefined) delete process.env["GCE_METADATA_HOST"];
    else process.env["GCE_METADATA_HOST"] = before;
  });
  const agent = starting.use(
    new CloudProfiler({
      service: { service: "relay", version: "1.0.0", project: undefined },
      api: new CloudProfilerApi({ endpoint: api.url, relayVersion: "1.0.0", clock }),
      metadata: new MetadataServer(metadata.host),
      profiler: starting.use(new Profiler(clock)),
      clock,
      supervisor: new Supervisor({ clock, emit: (event) => bugs.push(event.kind) }),
      emit: (event) => events.push(event),
      openHealth: () => {
        health.push("opened");
        return {
          failed: (detail) => health.push(detail),
          worked: () => health.push("works"),
          dropped: () => health.push("dropped"),
          [Symbol.dispose]: () => health.push("closed"),
        };
      },
    }),
  );
  const running = starting.move();
  const dispose = () => running.disposeAsync();
  const untilHeld = () => eventually(() => expect(api.held).toBe(1), PATIENT);
  return { agent, api, metadata, clock, events, health, bugs, untilHeld, [Symbol.asyncDispose]: dispose };
}

type Agent = Awaited<ReturnType<typeof startAgent>>;

/** Answers the held request, and returns how long the agent then waits, in ms, before the next. */
async function waitAfter({ api, clock, untilHeld }: Agent, answer: ApiAnswer): Promise<number> {
  await untilHeld();
  const asked = api.creates.length;
  api.answer(answer);
  // Only the limit of a request is on the clock until the agent waits for the next one, and that is an hour.
  const waitMs = await eventually(() => {
    expect(api.held).toBe(0);
    const { nextWakeInMs = Number.POSITIVE_INFINITY } = clock;
    expect(clock.sleeping).toBe(1);
    expect(nextWakeInMs).not.toBe(65 * MINUTE_MS);
    return nextWakeInMs;
  }, PATIENT);
  expect(api.creates).toHaveLength(asked);
  await clock.advance(waitMs);
  await untilHeld();
  return waitMs;
}

const FAILURES: readonly (readonly [what: string, answer: ApiAnswer, detail: RegExp])[] = [
  ["503", refusal(503, "UNAVAILABLE"), /answered 503: UNAVAILABLE$/],
  ["429", refusal(429, "RESOURCE_EXHAUSTED"), /answered 429/],
  ["409 without a delay", refusal(409, "ABORTED"), /answered 409/],
  [
    "an API that is off",
    refusal(403, "PERMISSION_DENIED", [{ reason: "SERVICE_DISABLED" }]),
    /enable cloudprofiler/,
  ],
  ["a closed connection", { kind: "hang-up" }, /no answer: connection closed/],
  ["no JSON", { kind: "answer", status: 200, body: "<html>" }, /names none/],
  ["JSON of another kind", { kind: "answer", status: 200, body: "[null]" }, /names none/],
  ["an error page", { kind: "answer", status: 502, body: "<html>Bad gateway" }, /answered 502$/],
  ["a redirect", { kind: "answer", status: 302, body: "", location: "/elsewhere" }, /answered 302$/],
  [
    "a name that leads elsewhere",
    { kind: "profile", profileType: "HEAP", name: "projects/machine-project/profiles/.." },
    /names none/,
  ],
  [
    "a profile of another project",
    { kind: "profile", profileType: "HEAP", name: "projects/other/profiles/a" },
    /another project/,
  ],
];

describe("after a failure the agent waits, longer each time, and says why", () => {
  test.each(FAILURES)("%s", async (_, answer, detail) => {
    await using agent = await startAgent();
    agent.agent.setEnabled("flag", true);
    const waits = [
      await waitAfter(agent, answer),
      await waitAfter(agent, answer),
      await waitAfter(agent, answer),
    ];
    for (const [at, waitMs] of waits.entries()) {
      expect(waitMs).toBeGreaterThanOrEqual(MINUTE_MS * 2 ** (at - 1));
      expect(waitMs).toBeLessThanOrEqual(MINUTE_MS * 2 ** at);
    }
    expect(agent.health.at(-1)).toMatch(detail);
    expect(agent.bugs).toEqual([]);
    expect(agent.api.violations).toEqual([]);
  });

  test("at most an hour, and from a minute again after a success", async () => {
    await using agent = await startAgent();
    agent.agent.setEnabled("flag", true);
    let waitMs = 0;
    for (let round = 0; round < 9; round++) waitMs = await waitAfter(agent, refusal(503, "UNAVAILABLE"));
    expect(waitMs).toBeGreaterThanOrEqual(HOUR_MS / 2);
    expect(waitMs).toBeLessThanOrEqual(HOUR_MS);
    await waitAfter(agent, refusal(409, "ABORTED", [retryInfo("5s")]));
    expect(await waitAfter(agent, refusal(503, "UNAVAILABLE"))).toBeLessThanOrEqual(MINUTE_MS);
  });
});

test.each([
  ["5s", 5_000],
  ["1.25s", 1_250],
  ["0.001s", 1_000],
  ["100000000s", 24 * HOUR_MS],
  ["3000s", 3_000_000],
])("a server that fails may name the delay: %s", async (delay, ms) => {
  await using agent = await startAgent();
  agent.agent.setEnabled("flag", true);
  expect(await waitAfter(agent, refusal(503, "UNAVAILABLE", [retryInfo(delay)]))).toBe(ms);
});

test.each([
  ["a type that the relay does not know", { kind: "profile", profileType: "WALL", duration: "10s" }],
  ["no type", { kind: "profile", profileType: "" }],
  ["no time", cpu("0s")],
  ["an absurd time", cpu("86400s")],
  ["a time without a unit", cpu("10")],
] satisfies [string, ApiAnswer][])("a profile of %s is skipped", async (_, answer) => {
  await using agent = await startAgent();
  agent.agent.setEnabled("flag", true);
  expect(await waitAfter(agent, answer)).toBeLessThanOrEqual(MINUTE_MS);
  expect(agent.events.map(({ kind }) => kind)).toEqual(["cloud_profiler_started", "cloud_profile_skipped"]);
  expect(agent.bugs).toEqual([]);
});

describe("a profile that cannot be uploaded is dropped, and the next one is taken", () => {
  test.each([
    ["400", [refusal(400, "INVALID_ARGUMENT")]],
    ["500, twice", [refusal(500, "INTERNAL"), refusal(500, "INTERNAL")]],
    ["a closed connection, twice", [{ kind: "hang-up" }, { kind: "hang-up" }]],
  ] satisfies [string, ApiAnswer[]][])("%s", async (_, answers) => {
    await using agent = await startAgent();
    const { api, health, events } = agent;
    agent.agent.setEnabled("flag", true);
    api.onUpload.push(...answers);
    await waitAfterUpload(agent);
    expect(health.slice(-2)).toEqual(["dropped", expect.stringMatching(/^upload of a profile: /)]);
    await waitAfterUpload(agent);
    expect(api.uploads).toHaveLength(1);
    // A wish that is granted while uploads fail is not a recovery.
    expect(health.slice(-2)).toEqual([expect.stringMatching(/^upload/), "works"]);
    expect(api.violations).toEqual([]);
    expect(events.at(-1)).toMatchObject({ kind: "cloud_profile_uploaded", profile: "heap", isFirst: true });
  });

  test.each([
    ["500", refusal(500, "INTERNAL")],
    ["429", refusal(429, "RESOURCE_EXHAUSTED")],
    ["a closed connection", { kind: "hang-up" }],
  ] satisfies [string, ApiAnswer][])(
    "but it is tried once more, without a word, after %s",
    async (_, answer) => {
      await using agent = await startAgent();
      const { api, health } = agent;
      agent.agent.setEnabled("flag", true);
      api.onUpload.push(answer);
      await waitAfterUpload(agent);
      expect(api.uploads).toHaveLength(1);
      expect(new Set(health)).toEqual(new Set(["opened", "works"]));
      expect(api.violations).toEqual([]);
    },
  );

  test("and counts as a failure until requests have been answered for 15 minutes since", async () => {
    await using agent = await startAgent();
    const { api, health } = agent;
    agent.agent.setEnabled("flag", true);
    api.onUpload.push(refusal(400, "INVALID_ARGUMENT"));
    await waitAfterUpload(agent);
    const later = (delay: string) => waitAfter(agent, refusal(409, "ABORTED", [retryInfo(delay)]));
    const upload = /^upload of a profile: Cloud Profiler answered 400/;
    await later("600s");
    await waitAfter(agent, refusal(503, "UNAVAILABLE", [retryInfo("600s")]));
    expect(health.at(-1)).toMatch(/^Cloud Profiler answered 503/);
    // The reason is that of the upload again, and the time begins again.
    await later("600s");
    expect(health.at(-1)).toMatch(upload);
    const reported = health.length;
    await later("299s");
    await later("1s");
    expect(health).toHaveLength(reported);
    await later("1s");
    expect(health.slice(reported)).toEqual(["works"]);
  });

  test("an upload that hangs, after a minute, and another one", async () => {
    await using agent = await startAgent();
    const { api, health, clock } = agent;
    agent.agent.setEnabled("flag", true);
    api.onUpload.push({ kind: "hold" }, { kind: "hold" });
    await agent.untilHeld();
    api.answer(heap);
    await eventually(() => expect(api.onUpload).toHaveLength(1), PATIENT);
    await clock.advance(MINUTE_MS);
    await eventually(() => expect(clock.nextWakeInMs).toBe(PAUSE_MS), PATIENT);
    await clock.advance(PAUSE_MS);
    await eventually(() => expect(api.onUpload).toEqual([]), PATIENT);
    await clock.advance(MINUTE_MS);
    await eventually(() => expect(health.at(-1)).toBe("upload of a profile: no answer within 60 s"), PATIENT);
  });
});

/** After each profile, and before an upload is tried once more. */
const PAUSE_MS = 10_000;

/** Answers the held request with a heap profile, and resolves when the agent asks for the next one. */
async function waitAfterUpload({ api, clock, untilHeld }: Agent): Promise<void> {
  await untilHeld();
  const asked = api.creates.length;
  api.answer(heap);
  // The profile and its upload have other limits on the same clock, which must not pass.
  await eventually(async () => {
    if (clock.nextWakeInMs === PAUSE_MS) await clock.advance(PAUSE_MS);
    expect(api.creates).toHaveLength(asked + 1);
  }, PATIENT);
}

describe("on and off", () => {
  test("off ends the request that waits, and on begins again", async () => {
    await using agent = await startAgent();
    const { api, events, health } = agent;
    agent.agent.setEnabled("gate", true);
    agent.agent.setEnabled("gate", true);
    await agent.untilHeld();
    expect(agent.agent.state).toBe("gate");
    agent.agent.setEnabled("gate", false);
    await eventually(() => expect(api.cancelled).toBe(1), PATIENT);
    expect(agent.agent.state).toBeUndefined();
    agent.agent.setEnabled("gate", true);
    await agent.untilHeld();
    expect(events.map(({ kind }) => kind)).toEqual([
      "cloud_profiler_started",
      "cloud_profiler_stopped",
      "cloud_profiler_started",
    ]);
    expect(health).toEqual(["opened", "closed", "opened"]);
    expect(api.creates).toHaveLength(2);
  });

  test("the flag keeps it on, whatever a gate says", async () => {
    await using agent = await startAgent();
    agent.agent.setEnabled("gate", true);
    agent.agent.setEnabled("flag", true);
    agent.agent.setEnabled("gate", false);
    await agent.untilHeld();
    expect(agent.agent.state).toBe("flag");
    expect(agent.api.cancelled).toBe(0);
  });

  test("changes in quick succession leave one agent, or none", async () => {
    await using agent = await startAgent();
    for (let change = 0; change < 21; change++) agent.agent.setEnabled("gate", change % 2 === 0);
    await untilAnother();
    expect(agent.api.held).toBe(1);
    for (let change = 0; change < 21; change++) agent.agent.setEnabled("gate", change % 2 === 1);
    await untilAnother();
    expect(agent.api.held).toBe(0);
    expect(agent.health.at(-1)).toBe("closed");
  });

  /** Resolves when an agent that starts now has asked: those that started before have as well. */
  async function untilAnother(): Promise<void> {
    await using control = await startAgent();
    control.agent.setEnabled("flag", true);
    await control.untilHeld();
  }

  test("off ends a profile that is being taken", async () => {
    await using agent = await startAgent();
    agent.agent.setEnabled("gate", true);
    await agent.untilHeld();
    agent.api.answer(cpu("60s"));
    // The samplers wake up, and sample.
    await eventually(() => expect(agent.clock.nextWakeInMs).toBe(520), PATIENT);
    await agent.clock.advance(520);
    await eventually(() => expect(agent.clock.nextWakeInMs).toBe(MINUTE_MS), PATIENT);
    agent.agent.setEnabled("gate", false);
    agent.agent.setEnabled("gate", true);
    await agent.untilHeld();
    // The first one has ended before the second begins.
    expect(agent.health.filter((each) => each !== "works")).toEqual(["opened", "closed", "opened"]);
    expect(agent.api.uploads).toEqual([]);
    expect(agent.bugs).toEqual([]);
  });
});

test("a metadata server that comes late, as in a new pod of GKE, is found", async () => {
  await using agent = await startAgent();
  const { metadata, clock, health, untilHeld } = agent;
  metadata.isSilent = true;
  agent.agent.setEnabled("flag", true);
  await eventually(() => expect(health).toHaveLength(2), PATIENT);
  expect(health[1]).toMatch(/^no credentials: .*no answer within 3 s/);
  metadata.isSilent = false;
  await clock.advance(MINUTE_MS);
  await untilHeld();
});

test.each([
  ["the zone", "instance/zone", 503],
  ["the instance", "instance/name", 429],
  ["the instance, which it does not answer", "instance/name", "silent"],
  ["the project", "project/project-id", 500],
  ["the account", "instance/service-accounts/default/email", 503],
] as const)(
  "a metadata server that fails for %s is asked again before any profile",
  async (_, path, failure) => {
    await using agent = await startAgent();
    const { api, metadata, clock, health, untilHeld } = agent;
    metadata.failing.set(path, failure);
    agent.agent.setEnabled("flag", true);
    await eventually(() => expect(health).toHaveLength(2), PATIENT);
    const why = failure === "silent" ? "no answer within 3 s" : `it answers ${failure}`;
    expect(health[1]).toContain(why);
    metadata.failing.clear();
    await clock.advance(MINUTE_MS);
    await untilHeld();
    expect(api.creates.map(({ deployment }) => deployment.labels["zone"])).toEqual(["europe-west1-b"]);
    await waitAfterUpload(agent);
    expect(api.uploads.map(({ labels }) => labels)).toEqual([{ instance: "relay-7f9c" }]);
    expect(health.at(-1)).toBe("works");
  },
);

test("a metadata server that refuses a value for good does not have it", async () => {
  await using agent = await startAgent();
  agent.metadata.failing.set("instance/zone", 403);
  agent.agent.setEnabled("flag", true);
  await agent.untilHeld();
  expect(Object.keys(agent.api.creates[0]?.deployment.labels ?? {})).not.toContain("zone");
});

test("a request that is not answered for 65 minutes is given up", async () => {
  await using agent = await startAgent();
  agent.agent.setEnabled("flag", true);
  await agent.untilHeld();
  await agent.clock.advance(65 * MINUTE_MS);
  await eventually(() => expect(agent.api.cancelled).toBe(1), PATIENT);
  await eventually(() => expect(agent.health.at(-1)).toBe("no answer within 3900 s"), PATIENT);
});
