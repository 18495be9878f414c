import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { matchesEntityTag } from "../../src/http/responses.ts";
import { parseRetryAfter } from "../../src/upstream/errors.ts";

describe("If-None-Match", () => {
  const tag = fc.stringMatching(/^[!#-+\--~]{0,12}$/).map((text) => `"${text}"`);
  const weak = fc.boolean().map((isWeak) => (isWeak ? "W/" : ""));
  const entry = fc.tuple(weak, tag);
  const comma = fc.constantFrom(",", ", ", " ,", " , ", ",,", "\t,");

  test("matches if it lists the tag, strong or weak, or is *", () => {
    fc.assert(
      fc.property(fc.array(entry), tag, comma, (entries, ours, separator) => {
        const header = entries.map(([prefix, each]) => prefix + each).join(separator);
        expect(matchesEntityTag(header, ours)).toBe(entries.some(([, each]) => each === ours));
        expect(matchesEntityTag(header === "" ? ours : `${header}${separator}W/${ours}`, ours)).toBe(true);
      }),
    );
    expect([matchesEntityTag("*", '"a"'), matchesEntityTag(" * ", '"a"')]).toEqual([true, true]);
  });

  test.each(["", "a", '"A"', '"a', 'W/"b"', 'w/"a"', "*, *", '"a-br"', '"\u00e4"'])(
    "does not match by %p",
    (header) => {
      expect(matchesEntityTag(header, '"a"')).toBe(false);
    },
  );
});

describe("Retry-After", () => {
  const now = Date.parse("Sun, 06 Nov 1994 08:49:00 GMT");

  const after = (value: string, others: Readonly<Record<string, string>> = {}) =>
    parseRetryAfter(new Headers({ "retry-after": value, ...others }), now);
  const DAY_MS = 24 * 3_600_000;

  test.each([
    ["0", 0],
    ["120", 120_000],
    [" 7 ", 7_000],
    ["99999999999999999999999", DAY_MS],
    ["9".repeat(400), DAY_MS],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 37_000],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 37_000],
    ["Sun Nov  6 08:49:37 1994", 37_000],
    ["Sun, 06 Nov 1994 08:00:00 GMT", 0],
    ["Fri, 31 Dec 9999 23:59:59 GMT", DAY_MS],
    ["Sun, 99 Nov 1994 08:49:37 GMT", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["2030", 2_030_000],
    ["2030-01-01", undefined],
    ["1e3", undefined],
    ["0x10", undefined],
    ["5, 10", undefined],
    ["Infinity", undefined],
    ["soon", undefined],
    ["", undefined],
  ])("%p is %p ms from now", (header, expected) => {
    expect(after(header)).toBe(expected);
  });

  test("a date is compared with the clock of the server that sent it, not with the local clock", () => {
    const hours = (count: number) => new Date(now + count * 3_600_000);
    const date = hours(5).toUTCString();
    const later = new Date(hours(5).getTime() + 20_000).toUTCString();
    expect(after(later, { date })).toBe(20_000);
    expect(after(later, { date: "yesterday" })).toBe(5 * 3_600_000 + 20_000);
    expect(after("30", { date })).toBe(30_000);
  });

  test("if absent it gives no time; any text gives no time in the past and no infinite time", () => {
    expect(parseRetryAfter(new Headers(), now)).toBeUndefined();
    fc.assert(
      fc.property(
        fc.oneof(
          fc.stringMatching(/^[ -~]*$/),
          fc.bigInt({ min: 0n }).map(String),
          fc.date({ noInvalidDate: true }).map((at) => at.toUTCString()),
        ),
        (text) => {
          expect(after(text) ?? 0).toBeGreaterThanOrEqual(0);
          expect(after(text) ?? 0).toBeLessThanOrEqual(DAY_MS);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
