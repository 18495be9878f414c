import { describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { type EventRelay, startEventRelay } from "../support/log-events/event-relay.ts";

describe("a full queue", () => {
  test("503 with Retry-After; what comes again when there is room is no repeat", async () => {
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
      { code: 503, reason: "Service Unavailable" },
    ]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    // A repeat needs no room.
    expect((await setup.post("secret-a", exposure("2"))).status).toBe(202);
    restore();
    // Those that hang end with their connections.
    await setup.upstream.stop();
    await setup.upstream.restart();
    await eventually(async () => expect((await setup.post("secret-a", exposure("3"))).status).toBe(202));
    await eventually(() => {
      const users = setup
        .forwarded()
        .flatMap(({ events }) => events as ReturnType<typeof exposure>["events"]);
      expect(new Set(users.map(({ user }) => user.userID))).toEqual(new Set(["1", "2", "3"]));
    });
  }, 20_000);
});

describe("dedupe", () => {
  const quick = { args: ["--log-event-flush-interval-in-ms", "20"] };
  const exposure = {
    eventName: "statsig::gate_exposure",
    time: 5,
    user: { userID: 7 },
    metadata: { gate: "g", ruleID: "r" },
  };
  const post = (setup: EventRelay, sdkKey: string, events: readonly unknown[]) =>
    setup.post(sdkKey, { events });

  test("a batch of repeats is answered 202 and not sent; other events always are", async () => {
    await using shared = await startEventRelay(quick);
    const other = { eventName: "purchase", time: 5 };
    expect((await post(shared, "secret-repeats", [exposure, other, exposure])).status).toBe(202);
    await eventually(() => expect(shared.forwarded("secret-repeats")).toHaveLength(1));
    expect((await post(shared, "secret-repeats", [exposure, exposure])).status).toBe(202);
    expect((await post(shared, "secret-repeats", [exposure, other])).status).toBe(202);
    await eventually(() => expect(shared.forwarded("secret-repeats")).toHaveLength(2));
    expect(shared.forwarded("secret-repeats").map(({ events }) => events)).toEqual([
      [exposure, other],
      [other],
    ]);
  });

  test.each(["--log-event-dedupe false", "--log-event-dedupe=false"])(
    "%s forwards them all",
    async (given) => {
      await using setup = await startEventRelay({ args: given.split(" ") });
      await post(setup, "secret-a", [exposure, exposure]);
      await post(setup, "secret-a", [exposure]);
      await eventually(() => expect(setup.forwarded().flatMap(({ events }) => events)).toHaveLength(3));
    },
  );

  test("LOG_EVENT_DEDUPE_CACHE_LIMIT bounds what is remembered, the oldest goes first", async () => {
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
