import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readJsonFacts } from "../../src/specs/payload/json.ts";
import { type PayloadFacts, PayloadRefused, parseLcut } from "../../src/specs/payload/payload.ts";

const MALFORMED = "malformed";

function factsOf(bytes: Uint8Array): PayloadFacts | typeof MALFORMED {
  try {
    return readJsonFacts(bytes);
  } catch (error) {
    if (error instanceof PayloadRefused) return MALFORMED;
    throw error;
  }
}

/** The facts by JSON.parse. */
function reference(bytes: Uint8Array): PayloadFacts | typeof MALFORMED {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return MALFORMED;
    const object = value as Readonly<Record<string, unknown>>;
    const checksum = object["checksum"];
    const hash = Object.hasOwn(object, "hashed_sdk_key_used") ? object["hashed_sdk_key_used"] : undefined;
    return {
      hasUpdates: object["has_updates"] !== false,
      lcut: parseLcut(object["time"]),
      checksum: typeof checksum === "string" && checksum.length <= 100 ? checksum : "",
      hashedSdkKey: typeof hash === "string" || typeof hash === "number" ? String(hash) : undefined,
    };
  } catch {
    return MALFORMED;
  }
}

const expectSame = (text: string | Uint8Array): void => {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  expect([String(text), factsOf(bytes)]).toEqual([String(text), reference(bytes)]);
};

const wanted = fc.constantFrom(
  "time",
  "has_updates",
  "checksum",
  "hashed_sdk_key_used",
  "\\u0074ime",
  "time ",
  "__proto__",
);
const space = fc.constantFrom("", " ", "\n\t\r ", "  ");

/** A member as text; names may be duplicate. */
const member = fc
  .tuple(fc.oneof(wanted, fc.string()), fc.oneof(fc.jsonValue(), fc.maxSafeNat(), fc.boolean()), space, space)
  .map(([name, value, before, after]) => {
    const written = name.includes("\\") ? `"${name}"` : JSON.stringify(name);
    return `${before}${written}${after}:${before}${JSON.stringify(value)}${after}`;
  });
const object = fc.tuple(space, fc.array(member, { maxLength: 6 }), space).map(([before, members, after]) => {
  return `${before}{${members.join(",")}}${after}`;
});

describe("a config spec is read as JSON.parse would read it", () => {
  test("with any members in any order, also duplicate ones", () => {
    fc.assert(fc.property(object, expectSame), { numRuns: 2_000 });
  });

  test("with one byte changed, removed or inserted", () => {
    const edit = fc.record({
      at: fc.nat(),
      removed: fc.nat(2),
      put: fc.uint8Array({ maxLength: 2 }),
    });
    const property = fc.property(object, edit, (text, { at, removed, put }) => {
      const bytes = new TextEncoder().encode(text);
      const place = at % (bytes.length + 1);
      expectSame(Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + removed)]));
    });
    fc.assert(property, { numRuns: 5_000 });
  });

  test("made of JSON tokens in any order", () => {
    const parts = [
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      '"time"',
      "1",
      "-",
      "0",
      ".5",
      "e",
      "E+1",
      "tru",
      "true",
    ];
    const more = ["null", "false", "\\", "\\u00", "\\ud800", "\u2028", "\ufeff", " ", "\u0001", '"a"', "é"];
    const part = fc.constantFrom(...parts, ...more);
    const text = fc.array(part, { maxLength: 12, size: "max" }).map((each) => `{"a":${each.join("")}`);
    fc.assert(fc.property(text, expectSame), { numRuns: 10_000 });
  });

  test.each([
    '{"time":1700000000000,"time":5}',
    '{"time":5,"time":[]}',
    '{"\\u0074\\u0069\\u006d\\u0065":7}',
    '{"time":1e3}',
    '{"time":1.0}',
    '{"time":-0}',
    '{"time":9007199254740993}',
    '{"has_updates":false,"has_updates":true}',
    '{"nested":{"time":1,"has_updates":false}}',
    '{"hashed_sdk_key_used":"\\u0031"}',
    '{"hashed_sdk_key_used":12}',
    '{"a":1}{"a":1}',
    '{"a":"\\x"}',
    '{"a":01}',
    '{"a":1.}',
    '{"a":-}',
    '\ufeff{"time":1}',
    "{}",
    " { } ",
  ])("of %p", (text) => expectSame(text));
});

test("a very long name or value matches nothing", () => {
  const long = "1".repeat(100_000);
  const facts = factsOf(
    new TextEncoder().encode(`{"hashed_sdk_key_used":"${long}","time":${long},"${long}":1}`),
  );
  expect(facts).toMatchObject({ lcut: undefined, hashedSdkKey: expect.stringMatching(/^"?1+$/) });
});

test("millions of members need little memory: none of them is kept", async () => {
  const script = new URL("../support/specs/json-facts-process.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 30_000,
  });
  const { grownBy, length } = JSON.parse(await child.stdout.text());
  // Measured: 3 times the length; 53 times with a list of the members.
  expect(grownBy).toBeLessThan(15 * length);
}, 40_000);
