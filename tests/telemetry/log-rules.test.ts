import { describe, expect, test } from "bun:test";
import type { LogFields, LogLevel } from "../../src/telemetry/logging/logger.ts";
import { OutageLog } from "../../src/telemetry/logging/outage-log.ts";
import { ThrottledLog, ThrottledLogs } from "../../src/telemetry/logging/throttled-log.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { ENDINGS, EXAMPLE_EVENTS, startExamples } from "../support/telemetry/relay-events.ts";

interface Line {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that records its lines. */
function recorded() {
  const lines: Line[] = [];
  const log = (level: LogLevel, message: string, fields: LogFields = {}) => {
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    lines.push({ level, message, fields: Object.fromEntries(given) });
  };
  const shown = () => lines.filter(({ level }) => level !== "debug");
  return { logger: { log }, lines, shown, clock: new FakeClock() };
}

const WORDS = { begins: "it fails", lasts: "it still fails", ends: "it works", failing: "failing_things" };

describe("OutageLog", () => {
  test("logs one line when an outage begins, one per minute while it lasts, and one when it ends", async () => {
    const { logger, lines, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    for (let second = 0; second <= 150; second += 5) {
      log.failed("a", { cause: "status", fields: { detail: "500" } });
      if (second === 60) log.failed("b", { cause: "status", fields: { detail: "500" } });
      await clock.advance(5_000);
    }
    log.ended("b");
    log.ended("a");
    const still = { cause: "status", detail: "500" };
    expect(shown()).toEqual([
      { level: "warn", message: "it fails", fields: still },
      {
        level: "warn",
        message: "it still fails",
        fields: { ...still, for_s: 60, failures: 13, failing_things: 1 },
      },
      {
        level: "warn",
        message: "it still fails",
        fields: { ...still, for_s: 120, failures: 26, failing_things: 2 },
      },
      { level: "info", message: "it works", fields: { cause: "status", for_s: 155, failures: 32 } },
    ]);
    // At level debug, every failure is a line.
    expect(lines).toHaveLength(32 + 1);
  });

  test("logs an outage per cause, which ends when none of its subjects fails", async () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    log.failed("a", { cause: "status", fields: {} });
    log.failed("b", { cause: "timeout", fields: {} });
    expect(log.ended("a")).toBe(true);
    expect(log.ended("a")).toBe(false);
    const logged = shown().map(({ message, fields }) => `${message} ${fields["cause"]}`);
    expect(logged).toEqual(["it fails status", "it fails timeout", "it works status"]);
  });

  const told = (lines: readonly Line[]) =>
    lines.map(
      ({ message, fields }) =>
        `${message}: ${fields["cause"]} ${fields["for_s"] ?? "-"} ${fields["failures"] ?? "-"}`,
    );

  test("logs another cause of the same outage once, and ends it with the length and failures of all causes", async () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    for (const cause of ["refused", "status", "timeout", "status", "refused", "timeout"]) {
      for (const subject of ["a", "b"]) log.failed(subject, { cause });
      await clock.advance(5_000);
    }
    log.ended("a");
    log.ended("b");
    expect(told(shown())).toEqual([
      "it fails: refused - -",
      "it still fails: status 5 2",
      "it still fails: timeout 10 4",
      "it works: refused, status, timeout 30 12",
    ]);
  });

  test("does not mix up outages: what a key fails for alone keeps no other outage open, and is not ended by one", async () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    const reject = () => log.failed("revoked", { cause: "unauthorized", isOwn: true });
    reject();
    await clock.advance(10_000);
    for (const subject of ["revoked", "a", "b"]) log.failed(subject, { cause: "refused" });
    await clock.advance(10_000);
    for (const subject of ["a", "b"]) log.ended(subject);
    reject();
    await clock.advance(10_000);
    log.ended("revoked");
    expect(told(shown())).toEqual([
      "it fails: unauthorized - -",
      "it fails: refused - -",
      "it works: refused 10 3",
      "it works: unauthorized 30 2",
    ]);
  });

  test("ends the rest of an outage whose other subjects have another cause", async () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    for (const subject of ["a", "b", "c"]) log.failed(subject, { cause: "refused" });
    await clock.advance(10_000);
    log.failed("a", { cause: "status" });
    log.ended("b");
    log.failed("c", { cause: "status" });
    await clock.advance(10_000);
    for (const subject of ["a", "c"]) log.ended(subject);
    expect(told(shown())).toEqual([
      "it fails: refused - -",
      "it still fails: status 10 3",
      "it works: refused 10 3",
      "it works: refused, status 10 2",
    ]);
  });

  test("logs a few causes of one outage, however many there are", () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    for (let i = 0; i < 1_000; i++) log.failed("a", { cause: `cause ${i}` });
    log.ended("a");
    expect(shown().length).toBeLessThan(12);
    expect(shown().at(-1)?.fields["failures"]).toBe(1_000);
  });

  test("ends an outage when the other subjects have not been tried for three minutes", async () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    log.failed("gone", { fields: {} });
    await clock.advance(60_000);
    log.failed("here", { fields: {} });
    log.ended("here");
    expect(shown().at(-1)?.message).toBe("it still fails");
    log.failed("here", { fields: {} });
    await clock.advance(121_000);
    log.ended("here");
    expect(shown().at(-1)?.message).toBe("it works");
  });

  test("suppresses outages that begin and end all the time, and counts the suppressed ones", async () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    for (let second = 0; second < 600; second++) {
      log.failed("a", { fields: {} });
      log.ended("a");
      await clock.advance(1_000);
    }
    const begun = shown().filter(({ message }) => message === "it fails");
    expect(begun.length).toBeWithin(13, 16);
    expect(shown()).toHaveLength(2 * begun.length);
    const leftOut = begun.reduce((sum, { fields }) => sum + Number(fields["not_shown_before"] ?? 0), 0);
    expect(begun.length + leftOut).toBeWithin(540, 601);
  });

  test("logs a suppressed outage once it lasts for a minute", async () => {
    const { logger, shown, clock } = recorded();
    const log = new OutageLog(logger, clock, WORDS);
    for (let i = 0; i < 10; i++) {
      log.failed("a", { fields: {} });
      log.ended("a");
    }
    const before = shown().length;
    for (let second = 0; second <= 60; second++) {
      log.failed("a", { fields: {} });
      await clock.advance(1_000);
    }
    log.ended("a");
    expect(
      shown()
        .slice(before)
        .map(({ message }) => message),
    ).toEqual(["it still fails", "it works"]);
  });
});

describe("ThrottledLog", () => {
  test("logs one line per minute, which counts the suppressed ones", async () => {
    const { logger, lines, shown, clock } = recorded();
    const log = new ThrottledLog(logger, clock);
    for (let second = 0; second < 130; second++) {
      log.log("warn", "no", { second });
      await clock.advance(1_000);
    }
    const fields = [
      { second: 0 },
      { second: 60, not_shown_before: 59 },
      { second: 120, not_shown_before: 59 },
    ];
    expect(shown().map((line) => line.fields)).toEqual(fields);
    expect(lines).toHaveLength(130);
  });

  test("throttles each kind on its own; kinds beyond the first twenty share a log", () => {
    const { logger, shown, clock } = recorded();
    const logs = new ThrottledLogs(logger, clock);
    for (let i = 0; i < 1_000; i++) logs.of(`reason ${i}`).log("warn", "no", { i });
    expect(shown().map(({ fields }) => fields["i"])).toEqual(Array.from({ length: 21 }, (_, i) => i));
  });
});

describe("an event that is emitted a thousand times in a minute", () => {
  const bound = (kind: string) => {
    // The audit trail is whole; only clients with the token can lengthen it, and profiles only one after the other.
    if (kind === "operator_acted" || kind === "profile_taken") return 1_000;
    // Every version that is published, or held back by a pin, is worth a line.
    return /^(spec_(updated|republished|held_back)|id_lists_updated)$/.test(kind) ? 600 : 10;
  };

  test.each(EXAMPLE_EVENTS.map(({ kind }) => kind))(
    "%s is few lines at level info, and a thousand at level debug",
    async (kind) => {
      const { logger, lines, shown, clock } = recorded();
      const emit = startExamples(logger, clock);
      for (let i = 0; i < 1_000; i++) {
        emit(kind);
        await clock.advance(59);
      }
      expect(shown().length).toBeLessThanOrEqual(bound(kind));
      expect(lines).toHaveLength(1_000);
    },
  );

  test.each(ENDINGS)("%s alternating with %s: few lines", async (begins, ends) => {
    const { logger, shown, clock } = recorded();
    const emit = startExamples(logger, clock);
    const count = bound(ends) > 10 ? 100 : 1_000;
    for (let i = 0; i < count; i++) {
      emit(begins);
      emit(ends);
      await clock.advance(59);
    }
    const outages = shown().filter(({ message }) => !message.endsWith("updated"));
    expect(outages.length).toBeWithin(2, 15);
    expect(outages[0]?.level).toBe("warn");
    expect(outages[1]?.level).toBe("info");
  });
});
