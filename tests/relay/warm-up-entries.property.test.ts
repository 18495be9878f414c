import { expect, test } from "bun:test";
import fc from "fast-check";
import { readWarmUpEntries } from "../../src/relay/warm-up/entries.ts";

const KEY = "secret-0123456789abcdefghij";

const entry = fc.record(
  {
    sdk_key: fc.oneof(fc.constant(KEY), fc.constant(`${KEY}!`), fc.constant(`bogus-${KEY}`), fc.jsonValue()),
    path: fc.oneof(
      fc.constantFrom("/v1/download_config_specs", "/v2/download_config_specs/", "/v1/get_id_lists"),
      fc.jsonValue(),
    ),
    encodings: fc.oneof(fc.array(fc.string()), fc.jsonValue()),
  },
  { requiredKeys: [] },
);

test("each element is either an entry or skipped, whatever it is", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(entry, fc.jsonValue())), (values) => {
      const { entries, skipped, unreadable } = readWarmUpEntries(JSON.stringify(values));
      expect(unreadable).toBeUndefined();
      expect(entries.length + skipped.length).toBe(values.length);
      for (const { sdkKey } of entries) expect(sdkKey).toMatch(/^(client|secret|server)-[\w-]+$/);
    }),
  );
});

test("what is logged of a wrong value contains no SDK key", () => {
  const broken = fc.tuple(fc.array(entry), fc.nat(), fc.string()).map(([values, at, text]) => {
    const json = JSON.stringify(values);
    const cut = at % (json.length + 1);
    return `${json.slice(0, cut)}${text}${json.slice(cut)}`;
  });
  fc.assert(
    fc.property(broken, (json) => {
      const { skipped, unreadable } = readWarmUpEntries(json);
      expect(JSON.stringify([skipped, unreadable])).not.toContain(KEY);
    }),
  );
});
