import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { SharedReport } from "../../src/telemetry/status/shared-report.ts";

describe("the status report", () => {
  for (const { costMs, sharedForMs } of [
    { costMs: 1, sharedForMs: 500 },
    { costMs: 50, sharedForMs: 1_000 },
    // One build that waited for a core must not freeze the page for 20 s.
    { costMs: 1_000, sharedForMs: 2_000 },
  ]) {
    test(`that takes ${costMs} ms to build is shared for ${sharedForMs} ms`, async () => {
      let [nowMs, builds] = [0, 0];
      const clock = { ...systemClock, elapsed: () => nowMs };
      const build = () => {
        nowMs += costMs;
        builds += 1;
        return `report ${builds}`;
      };
      const report = new SharedReport({ gather: () => Promise.resolve(), build }, clock);
      expect(await report.read()).toBe("report 1");
      nowMs = sharedForMs - 1;
      expect(await report.read()).toBe("report 1");
      nowMs = sharedForMs;
      expect(await report.read()).toBe("report 2");
    });
  }
});
