import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readBatch as readBytes } from "../../src/log-events/batch.ts";

/** Returns what the reader finds in a text, or undefined if it rejects it. */
function readBatch(body: string) {
  const limits = { maxEvents: Number.POSITIVE_INFINITY, maxMetadataBytes: Number.POSITIVE_INFINITY };
  const read = readBytes(Buffer.from(body), limits);
  if (read.kind !== "read") return undefined;
  const { text, ranges, metadata } = read;
  const texts = Array.from({ length: ranges.length / 2 }, (_, at) =>
    text.toString("utf8", ranges[2 * at], ranges[2 * at + 1]),
  );
  return {
    events: texts.map((each) => ({ text: each, value: JSON.parse(each) as unknown })),
    metadata,
    metadataValue: metadata === "" ? undefined : (JSON.parse(metadata) as unknown),
  };
}

/** JSON that no library writes: with spaces anywhere and escapes in names. Numbers are given as text. */
const space = fc.constantFrom("", "", "", " ", "\n", "\t\r\n  ");
const numberText = fc.constantFrom(
  "0",
  "-0",
  "1e3",
  "1.50",
  "9007199254740993",
  "12345678901234567890",
  "1E-400",
);
const escaped = (text: string) =>
  Array.from(text, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("events", "statsigMetadata", '\\"', "\\\\", "]", "}", "\u0000", "é🎈", "__proto__"),
);
const stringText = fc.oneof(
  anyText.map((text) => JSON.stringify(text)),
  fc.string({ maxLength: 5 }).map((text) => `"${escaped(text)}"`),
);
const wordText = fc.oneof(numberText, stringText, fc.constantFrom("true", "false", "null"));

const { value: valueText } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, wordText, arrayOf(tie("value")).map(bracketed), objectOf(tie("value"))),
}));

function arrayOf(value: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  return fc
    .array(fc.tuple(space, value, space), { maxLength: 4 })
    .map((all) => all.map((each) => each.join("")));
}

function bracketed(elements: readonly string[]): string {
  return `[${elements.join(",")}]`;
}

function objectOf(value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .array(fc.tuple(space, stringText, space, space, value, space), { maxLength: 4 })
    .map((members) =>
      objectText(members.map(([a, name, b, c, text, d]) => `${a}${name}${b}:${c}${text}${d}`)),
    );
}

function objectText(members: readonly string[]): string {
  return `{${members.join(",")}}`;
}

const eventsText = arrayOf(valueText);
const otherMember = fc.tuple(stringText, valueText).map(([name, value]) => `${name} :${value}`);
const nameOf = (name: string) => fc.constantFrom(JSON.stringify(name), `"${escaped(name)}"`);

describe("the reader of log_event bodies agrees with JSON.parse", () => {
  test("returns the exact source text of events and of statsigMetadata", () => {
    fc.assert(
      fc.property(
        eventsText,
        valueText,
        fc.array(otherMember, { maxLength: 3 }),
        nameOf("events"),
        nameOf("statsigMetadata"),
        space,
        (events, metadata, others, eventsName, metadataName, gap) => {
          const members = [
            ...others,
            `${eventsName}${gap}:${gap}[${gap}${events.join(",")}${gap}]`,
            `${metadataName}:${gap}${metadata}${gap}`,
          ];
          const read = readBatch(`${gap}${objectText(members)}${gap}`);
          expect(read?.events.map(({ text }) => text)).toEqual(events.map((each) => each.trim()));
          expect(read?.events.map(({ value }) => value)).toEqual(events.map((each) => JSON.parse(each)));
          expect(read?.metadata).toBe(metadata);
          expect(read?.metadataValue).toEqual(JSON.parse(metadata));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("rejects any text without an array of events, and parses all others alike", () => {
    const anyBody = fc.oneof(
      valueText,
      fc
        .array(
          fc.oneof(
            otherMember,
            eventsText.map((all) => `"events":${bracketed(all)}`),
          ),
          { maxLength: 5 },
        )
        .map(objectText),
      fc.string(),
    );
    fc.assert(
      fc.property(anyBody, (text) => {
        const expected = parsed(text);
        const read = readBatch(text);
        expect(read?.events.map((event) => event.value)).toEqual(expected);
        expect(read?.events.map((event) => JSON.parse(event.text) as unknown)).toEqual(expected);
      }),
      { numRuns: 3_000 },
    );
  });

  test.each([
    ['{"events":[1],"events":[2, 3 ]}', ["2", "3"]],
    ['{"ev\\u0065nts":[9007199254740993,{"a":"]\\\\"}]}', ["9007199254740993", '{"a":"]\\\\"}']],
    ['{"events":[]}', []],
    ['{"events":[ ]}', []],
    ['{"a":{"events":[1]},"events":["\\"", null]}', ['"\\""', "null"]],
  ])("%s", (text, events) => {
    expect(readBatch(text)?.events.map((event) => event.text)).toEqual(events);
  });

  test.each([
    "",
    "{",
    "[]",
    "null",
    "1",
    '"events"',
    "{}",
    '{"events":{}}',
    '{"events":null}',
    '{"events":[1],"events":2}',
  ])("rejects %s", (text) => {
    expect(readBatch(text)).toBeUndefined();
  });

  test("does not recurse, however deep a body is nested", () => {
    const deep = `${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`;
    expect(readBatch(`{"events":[${deep}]}`)?.events[0]?.text).toBe(deep);
    expect(readBatch(`{"events":${"[".repeat(1_000_000)}`)).toBeUndefined();
  });
});

function parsed(text: string): unknown[] | undefined {
  try {
    const body: unknown = JSON.parse(text);
    const isObject = typeof body === "object" && body !== null && !Array.isArray(body);
    const events = isObject && "events" in body ? body.events : undefined;
    return Array.isArray(events) ? events : undefined;
  } catch {
    return undefined;
  }
}
