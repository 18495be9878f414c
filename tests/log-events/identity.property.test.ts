import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { identifyExposure } from "../../src/log-events/dedupe.ts";

const TIME = 1_760_000_000_000 - (1_760_000_000_000 % 60_000);
const context = { sdkKey: "secret-a", batchStableId: undefined };
const gate = {
  eventName: "statsig::gate_exposure",
  user: { userID: "u", customIDs: { companyID: "c", other: "o" }, email: "not part of it" },
  time: TIME,
  metadata: { gate: "g", gateValue: "true", ruleID: "r" },
  secondaryExposures: [],
};
const config = { ...gate, eventName: "statsig::config_exposure", metadata: { config: "g", ruleID: "r" } };

const same = (a: unknown, b: unknown, batchA = context, batchB = context) =>
  identifyExposure(a, batchA) === identifyExposure(b, batchB);

describe("Exposure identity", () => {
  test.each<[string, unknown]>([
    ["other fields", { ...gate, value: 7, secondaryExposures: [1], user: { ...gate.user, email: "x" } }],
    ["another time in the same minute", { ...gate, time: TIME + 59_999 }],
    [
      "custom IDs in another order",
      { ...gate, user: { userID: "u", customIDs: { other: "o", companyID: "c" } } },
    ],
  ])("is the same with %s", (_, other) => {
    expect(identifyExposure(gate, context)).toBeDefined();
    expect(same(gate, other)).toBe(true);
  });

  test.each<[string, unknown]>([
    ["user", { ...gate, user: { ...gate.user, userID: "v" } }],
    ["type of userID", { ...gate, user: { ...gate.user, userID: 1 } }],
    ["missing userID", { ...gate, user: { customIDs: gate.user.customIDs } }],
    ["missing user", { ...gate, user: undefined }],
    ["null user", { ...gate, user: null }],
    ["custom ID", { ...gate, user: { userID: "u", customIDs: { companyID: "d", other: "o" } } }],
    ["missing custom IDs", { ...gate, user: { userID: "u" } }],
    ["stableID", { ...gate, statsigMetadata: { stableID: "s" } }],
    ["gate", { ...gate, metadata: { ...gate.metadata, gate: "h" } }],
    ["rule", { ...gate, metadata: { ...gate.metadata, ruleID: "q" } }],
    ["value", { ...gate, metadata: { ...gate.metadata, gateValue: "false" } }],
    ["minute", { ...gate, time: TIME + 60_000 }],
    ["kind", config],
  ])("differs with another %s", (_, other) => {
    expect(identifyExposure(other, context)).toBeDefined();
    expect(same(gate, other)).toBe(false);
  });

  test("includes the SDK key, and the batch's stableID if the event has none", () => {
    expect(same(gate, gate, context, { ...context, sdkKey: "secret-b" })).toBe(false);
    expect(same(gate, gate, context, { ...context, batchStableId: "s" } as never)).toBe(false);
    const own = { ...gate, statsigMetadata: { stableID: "s" } };
    expect(
      same(
        own,
        gate,
        { ...context, batchStableId: "t" } as never,
        { ...context, batchStableId: "s" } as never,
      ),
    ).toBe(true);
    expect(same({ ...gate, statsigMetadata: null }, gate)).toBe(true);
  });

  test("does not include the value of a config exposure", () => {
    expect(same(config, { ...config, metadata: { ...config.metadata, gateValue: "x" } })).toBe(true);
  });

  test.each<[string, unknown]>([
    ["another name", { ...gate, eventName: "purchase" }],
    ["the name of a layer exposure", { ...gate, eventName: "statsig::layer_exposure" }],
    ["a number", 7],
    ["no metadata", { ...gate, metadata: null }],
    ["no time", { ...gate, time: undefined }],
    ["a time that is not a number", { ...gate, time: String(TIME) }],
    [
      "a number that parsing may have rounded",
      JSON.parse(JSON.stringify(gate).replace('"u"', "9007199254740993")),
    ],
    ["invalid UTF-8", { ...gate, user: { userID: "\uFFFD" } }],
  ])("does not exist for an event with %s, which is always forwarded", (_, event) => {
    expect(identifyExposure(event, context)).toBeUndefined();
  });
});

const scalar = fc.oneof(fc.constantFrom<unknown>("a", "b", 1, 2, "1", null, true, undefined));
const exposure = fc.record({
  eventName: fc.constantFrom("statsig::gate_exposure", "statsig::config_exposure"),
  user: fc.oneof(
    scalar,
    fc.record({ userID: scalar, customIDs: fc.oneof(scalar, fc.record({ x: scalar, y: scalar })) }),
  ),
  statsigMetadata: fc.oneof(fc.constant(null), fc.record({ stableID: scalar })),
  metadata: fc.record({ gate: scalar, config: scalar, ruleID: scalar, gateValue: scalar }),
  time: fc.constantFrom(TIME, TIME + 1, TIME + 60_000),
});

/** The fields of docs/protocol.md, Exposure identity, as plain data to compare. */
function namedFields(event: Record<string, unknown>): string {
  const record = (value: unknown) =>
    typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  const [user, metadata] = [record(event["user"]), record(event["metadata"]) ?? {}];
  const isGate = event["eventName"] === "statsig::gate_exposure";
  return Bun.inspect([
    event["eventName"],
    user === undefined ? ["plain", event["user"]] : [user["userID"], user["customIDs"]],
    record(event["statsigMetadata"])?.["stableID"] ?? undefined,
    isGate ? [metadata["gate"], metadata["gateValue"]] : metadata["config"],
    metadata["ruleID"],
    Math.floor(Number(event["time"]) / 60_000),
  ]);
}

test("two exposures have the same identity exactly if all fields of docs/protocol.md, Exposure identity, are equal", () => {
  fc.assert(
    fc.property(exposure, exposure, fc.boolean(), (a, b, near) => {
      // Differs from the first in one field only, so that similar exposures are compared.
      const other = near ? { ...a, metadata: b.metadata } : { ...a, user: b.user };
      for (const each of [other, b]) {
        const text = (event: object) => JSON.parse(JSON.stringify(event)) as Record<string, unknown>;
        expect(same(text(a), text(each))).toBe(namedFields(text(a)) === namedFields(text(each)));
      }
    }),
    { numRuns: 3_000 },
  );
});
