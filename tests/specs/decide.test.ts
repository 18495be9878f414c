import { describe, expect, test } from "bun:test";
import { decide, type FetchResult } from "../../src/specs/refresh.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

const held = snapshotOf(feedOf("secret-a"), 5);
const payload = (lcut: number) => snapshotOf(feedOf("secret-a"), lcut);

const findings = {
  newer: { kind: "prepared", payload: payload(6) },
  same: { kind: "prepared", payload: payload(5) },
  older: { kind: "prepared", payload: payload(4) },
  "no update": { kind: "no_update" },
  refused: { kind: "refused", reason: "malformed", detail: "the body is not JSON" },
  401: { kind: "unauthorized", status: 401 },
  403: { kind: "unauthorized", status: 403 },
  unreachable: { kind: "failed", cause: "unreachable", detail: "connection refused" },
  timeout: { kind: "failed", cause: "timeout", detail: "too late" },
  status: { kind: "failed", cause: "status", detail: "upstream answered 503", retryAfterMs: 7_000 },
  broken: { kind: "failed", cause: "broken", detail: "the answer broke off" },
} as const satisfies Record<string, FetchResult>;

type Decided = "publish" | "confirm" | "keep" | "forget";

/** With nothing held; with version 5 held; with version 5 held and --clear-datastore-on-unauthorized. */
const TABLE: readonly (readonly [keyof typeof findings, Decided, Decided, Decided])[] = [
  ["newer", "publish", "publish", "publish"],
  ["same", "publish", "confirm", "confirm"],
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
  "%p: %s with nothing held, %s with a version held, %s when told to clear",
  (name, unheld, held5, cleared) => {
    const finding = findings[name];
    const decided = [
      decide(finding, undefined, { clearOnUnauthorized: false }),
      decide(finding, held, { clearOnUnauthorized: false }),
      decide(finding, held, { clearOnUnauthorized: true }),
    ];
    expect(decided.map(({ kind }) => kind)).toEqual([unheld, held5, cleared]);
  },
);

test("with nothing held there is nothing to clear: the policy changes nothing", () => {
  for (const finding of Object.values(findings)) {
    expect(decide(finding, undefined, { clearOnUnauthorized: true })).toEqual(
      decide(finding, undefined, { clearOnUnauthorized: false }),
    );
  }
});

describe("a decision says what it is about", () => {
  const policy = { clearOnUnauthorized: true };

  test("publish: the payload", () => {
    expect(decide(findings.newer, held, policy)).toEqual({ kind: "publish", payload: payload(6) });
  });

  test("keep: the finding as it was, with what upstream asked for", () => {
    for (const finding of [findings.refused, findings.status, findings.unreachable]) {
      expect(decide(finding, held, policy)).toEqual({ kind: "keep", finding });
    }
  });

  test("keep: an older version is refused for that, and both are named", () => {
    expect(decide(findings.older, held, policy)).toEqual({
      kind: "keep",
      finding: {
        kind: "refused",
        reason: "older",
        detail: "upstream sent lcut 4, older than 5, which is held",
      },
    });
  });

  test("keep: no update for a first request is a failure, not an answer", () => {
    expect(decide(findings["no update"], undefined, policy)).toMatchObject({
      kind: "keep",
      finding: { kind: "failed", cause: "broken" },
    });
  });

  test("forget: the status", () => {
    expect(decide(findings[403], held, policy)).toEqual({ kind: "forget", status: 403 });
  });
});
