import { describe, expect, test } from "bun:test";
import { decide, type FetchResult } from "../../src/specs/decide.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

const held = snapshotOf(feedOf("secret-a"), 5, "held");
const payload = (lcut: number, checksum = "") => snapshotOf(feedOf("secret-a"), lcut, checksum);

const results = {
  newer: { kind: "prepared", payload: payload(6) },
  same: { kind: "prepared", payload: payload(5, "held") },
  "the same lcut without a checksum": { kind: "prepared", payload: payload(5) },
  "another content": { kind: "prepared", payload: payload(5, "other") },
  older: { kind: "prepared", payload: payload(4) },
  "another content of an older lcut": { kind: "prepared", payload: payload(4, "other") },
  "no update": { kind: "no_update" },
  refused: { kind: "refused", reason: "malformed", detail: "the body is not JSON" },
  401: { kind: "unauthorized", status: 401 },
  403: { kind: "unauthorized", status: 403 },
  unreachable: { kind: "failed", cause: "unreachable", detail: "connection refused" },
  timeout: { kind: "failed", cause: "timeout", detail: "too late" },
  status: { kind: "failed", cause: "status", detail: "upstream answered 503", retryAfterMs: 7_000 },
  broken: { kind: "failed", cause: "broken", detail: "the response broke off" },
} as const satisfies Record<string, FetchResult>;

type Decided = "publish" | "confirm" | "keep" | "forget";

/** The decision with nothing held, with version 5 held, and with version 5 held and --clear-datastore-on-unauthorized. */
const TABLE: readonly (readonly [keyof typeof results, Decided, Decided, Decided])[] = [
  ["newer", "publish", "publish", "publish"],
  ["same", "publish", "confirm", "confirm"],
  ["the same lcut without a checksum", "publish", "confirm", "confirm"],
  ["another content", "publish", "publish", "publish"],
  ["another content of an older lcut", "publish", "keep", "keep"],
  ["older", "publish", "keep", "keep"],
  ["no update", "keep", "confirm", "confirm"],
  ["refused", "keep", "keep", "keep"],
  [401, "forget", "keep", "forget"],
  [403, "forget", "keep", "forget"],
  ["unreachable", "keep", "keep", "keep"],
  ["timeout", "keep", "keep", "keep"],
  ["status", "keep", "keep", "keep"],
  ["broken", "keep", "keep", "keep"],
];

test.each(TABLE)(
  "%p: %s with nothing cached, %s with a cached version, %s with --clear-datastore-on-unauthorized",
  (name, unheld, held5, cleared) => {
    const result = results[name];
    const decided = [
      decide(result, undefined, { clearOnUnauthorized: false }),
      decide(result, held, { clearOnUnauthorized: false }),
      decide(result, held, { clearOnUnauthorized: true }),
    ];
    expect(decided.map(({ kind }) => kind)).toEqual([unheld, held5, cleared]);
  },
);

test("a payload with the cached lcut is no update if the cached version has no checksum", () => {
  const result = results["another content"];
  expect(decide(result, payload(5), { clearOnUnauthorized: false })).toEqual({ kind: "confirm" });
});

test("with nothing cached, the policy only decides whether a rejected key is removed from the backup", () => {
  for (const result of Object.values(results)) {
    const decision = decide(result, undefined, { clearOnUnauthorized: false });
    expect(decide(result, undefined, { clearOnUnauthorized: true })).toEqual(
      decision.kind === "forget" ? { ...decision, removeFromBackup: true } : decision,
    );
  }
});

describe("a decision carries its reason", () => {
  const policy = { clearOnUnauthorized: true };

  test("publish: the payload", () => {
    expect(decide(results.newer, held, policy)).toEqual({ kind: "publish", payload: payload(6) });
  });

  test("keep: the unchanged result, with Retry-After", () => {
    for (const result of [results.refused, results.status, results.unreachable]) {
      expect(decide(result, held, policy)).toEqual({ kind: "keep", result });
    }
  });

  test("keep: an older version is refused, and the detail names both versions", () => {
    expect(decide(results.older, held, policy)).toEqual({
      kind: "keep",
      result: {
        kind: "refused",
        reason: "older",
        detail: "upstream sent lcut 4, which is older than the cached 5",
      },
    });
  });

  test("keep: no update for a first request is a failure", () => {
    expect(decide(results["no update"], undefined, policy)).toMatchObject({
      kind: "keep",
      result: { kind: "failed", cause: "broken" },
    });
  });

  test("forget: the status, and whether to remove the feed from the backup", () => {
    expect(decide(results[403], held, policy)).toEqual({
      kind: "forget",
      status: 403,
      removeFromBackup: true,
    });
  });
});
