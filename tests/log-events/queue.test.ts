import { describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { type EventRelay, startEventRelay } from "../support/log-events/event-relay.ts";

describe("a full queue", () => {
  test("responds 503 with Retry-After, and accepts the retry when there is room: it is not a duplicate", async () => {
    await using setup = await startEventRelay({ args: ["--log-event-process-queue-size", "2"] });
    const exposure = (user: string) => ({
      events: [
        { eventName: "statsig::gate_exposure", time: 1, user: { userID: user }, metadata: { gate: "g" } },
      ],
    });
    const restore = setup.upstream.misbehave({ kind: "hang" });
    for (const user of ["1", "2"]) expect((await setup.post("secret-a", exposure(user))).status).toBe(202);
    const refused = await setup.post("secret-a", exposure("3"));
    expect([refused.status, await refused.json()]).toEqual([
      503,
      {
        code: 503,
        reason: "Service Unavailable",
        message: "The log events cannot be stored now: retry later",
      },
    ]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    // A duplicate needs no room.
    expect((await setup.post("secret-a", exposure("2"))).status).toBe(202);
    restore();
    // Requests that hang end with their connections.
    await setup.upstream.stop();
    await setup.upstream.restart();
    // Each failure doubles the time until the events are sent again.
    const patient = { withinMs: 20_000 };
    const postAgain = () => setup.post("secret-a", exposure("3"));
    await eventually(async () => expect((await postAgain()).status).toBe(202), patient);
    await eventually(() => {
      const users = setup
        .forwarded()
        .flatMap(({ events }) => events as ReturnType<typeof exposure>["events"]);
      expect(new Set(users.map(({ user }) => user.userID))).toEqual(new Set(["1", "2", "3"]));
    }, patient);
  }, 60_000);
});

describe("deduplication", () => {
  const quick = { args: ["--log-event-flush-interval-in-ms", "20"] };
  const exposure = {
    eventName: "statsig::gate_exposure",
    time: 5,
    user: { userID: 7 },
    metadata: { gate: "g", ruleID: "r" },
  };
  const post = (setup: EventRelay, sdkKey: string, events: readonly unknown[]) =>
    setup.post(sdkKey, { events });

  test("responds 202 to a batch of duplicates and does not send it; other events are always sent", async () => {
    await using shared = await startEventRelay(quick);
    const other = { eventName: "purchase", time: 5 };
    expect((await post(shared, "secret-duplicates", [exposure, other, exposure])).status).toBe(202);
    await eventually(() => expect(shared.forwarded("secret-duplicates")).toHaveLength(1));
    expect((await post(shared, "secret-duplicates", [exposure, exposure])).status).toBe(202);
    expect((await post(shared, "secret-duplicates", [exposure, other])).status).toBe(202);
    await eventually(() => expect(shared.forwarded("secret-duplicates")).toHaveLength(2));
    expect(shared.forwarded("secret-duplicates").map(({ events }) => events)).toEqual([
      [exposure, other],
      [other],
    ]);
  });

  test.each(["--log-event-dedupe false", "--log-event-dedupe=false"])(
    "%s forwards duplicates",
    async (given) => {
      await using setup = await startEventRelay({ args: given.split(" ") });
      await post(setup, "secret-a", [exposure, exposure]);
      await post(setup, "secret-a", [exposure]);
      await eventually(() => expect(setup.forwarded().flatMap(({ events }) => events)).toHaveLength(3));
    },
  );

  test("LOG_EVENT_DEDUPE_CACHE_LIMIT limits the window; the oldest exposure is evicted first", async () => {
    await using setup = await startEventRelay({
      args: ["--log-event-flush-interval-in-ms", "10"],
      env: { LOG_EVENT_DEDUPE_CACHE_LIMIT: "2" },
    });
    const of = (userID: number) => ({ ...exposure, user: { userID } });
    for (const user of [1, 2, 3, 3, 2, 1]) await post(setup, "secret-a", [of(user)]);
    await eventually(() => {
      const users = setup.forwarded().flatMap(({ events }) => events as (typeof exposure)[]);
      expect(users.map(({ user }) => user.userID)).toEqual([1, 2, 3, 1]);
    });
  });
});
