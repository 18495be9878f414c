import { expect, test } from "bun:test";
import { redactSecrets } from "../../src/access/redact.ts";

test.each([
  ["secret-0123456789abcdef", ""],
  ["secret-0123.4567:89abcdef-x", ""],
  ["secret-0123456789abcdef", ": not found"],
  ["secret-0123456789abcdef", "."],
  ["secret-abc:.4567.:89abcdef-x", ": not found"],
])("nothing of %s is left in an error but its mask", (key, rest) => {
  const shown = redactSecrets(`unexpected argument ${key}${rest}`);
  expect(shown).toMatch(/^unexpected argument secret-\w{3}\*[0-9a-f]{6}/);
  expect(shown).toEndWith(rest);
  expect(shown).not.toContain(key.slice(12));
});

test("a key whose first character is a dot is masked as well", () => {
  expect(redactSecrets("unexpected argument secret-.0123:456789abcdef")).toMatch(
    / secret-\.01\*[0-9a-f]{6}$/,
  );
});

test("a file that is called secret-… keeps its name", () => {
  const message = 'cannot read "/etc/secret-keys-of-the-relay.txt"';
  expect(redactSecrets(message)).toBe(message);
});
