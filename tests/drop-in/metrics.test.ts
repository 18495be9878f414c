import { beforeAll, describe, expect, test } from "bun:test";
import { replayGoldenRequests } from "../support/drop-in/golden-requests.ts";
import { formatAs41 } from "../support/drop-in/metric-lines.ts";
import { testRows } from "../support/drop-in/row.ts";
import { GOLDEN_ROWS, type GoldenRow } from "./metrics.rows.ts";

describe.each(["statsd", "datadog"] as const)("the recorded lines of %s", (sink) => {
  let sent: ReadonlySet<string>;

  beforeAll(async () => {
    sent = new Set((await replayGoldenRequests(sink)).map(formatAs41));
  }, 30_000);

  testRows(
    GOLDEN_ROWS.filter((row) => row.sink === sink),
    ({ original, line, ours }: GoldenRow) => {
      if (line !== undefined) expect(sent).toContain(line);
      if (ours !== "same") expect(sent).not.toContain(original);
    },
  );

  test("no line has an SDK key, or a part of a request that a client made up", () => {
    for (const line of sent) expect(line).not.toMatch(/MnOpQrSt|secret-bad|nope|\.\.|sdk_key:,/);
  });
});
