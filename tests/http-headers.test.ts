import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { matchesEntityTag } from "../src/http/entity-tag.ts";
import { retryAfterMs } from "../src/upstream/retry-after.ts";

describe("If-None-Match", () => {
  const tag = fc.stringMatching(/^[!#-+\--~]{0,12}$/).map((text) => `"${text}"`);
  const weak = fc.boolean().map((isWeak) => (isWeak ? "W/" : ""));
  const entry = fc.tuple(weak, tag);
  const comma = fc.constantFrom(",", ", ", " ,", " , ", ",,", "\t,");

  test("matches where it lists the tag, strong or weak, or is *", () => {
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

  test.each([
    ["0", 0],
    ["120", 120_000],
    [" 7 ", 7_000],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 37_000],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 37_000],
    ["Sun, 06 Nov 1994 08:00:00 GMT", 0],
    ["soon", undefined],
    ["", undefined],
  ])("%p is %p ms from now", (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });

  test("that is not there says nothing, and any text gives no time before now", () => {
    expect(retryAfterMs(null, now)).toBeUndefined();
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.nat().map(String),
          fc.date({ noInvalidDate: true }).map((at) => at.toUTCString()),
        ),
        (text) => {
          expect(retryAfterMs(text, now) ?? 0).toBeGreaterThanOrEqual(0);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
