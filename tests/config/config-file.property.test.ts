import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { withConfigFile } from "../../src/config/file.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { ConfigError, type GivenConfig } from "../../src/config/settings.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";

const files = new ConfigFiles();
afterAll(() => files[Symbol.dispose]());

const KEY = "secret-of-the-file-0123456789";

const givenBy = (config: string): GivenConfig => ({
  mode: undefined,
  cache: undefined,
  values: new Map([["config", config]]),
});

const name = fc.oneof(
  fc.constantFrom(...OPTIONS.map((option) => option.name)),
  fc.constantFrom(
    "mode",
    "cache",
    "__proto__",
    "constructor",
    "toString",
    "<<",
    "",
    "? x",
    "[x]",
    "STATSIG_ENDPOINT",
  ),
  fc.string({ maxLength: 200 }),
);
const value = fc.oneof(
  fc.constantFrom(
    "5",
    "true",
    "~",
    "[a, b]",
    "{a: 1}",
    "*x",
    "&x 1",
    "!!binary aGk=",
    "!x y",
    "|\n  a\n  b",
    ".inf",
  ),
  fc.constantFrom("0x1F", "1_000", "2024-01-01", "[[1]]", '"""\na\n"""', "'''x'''", "\t", "#", KEY),
  fc.json(),
  fc.string(),
);
const line = fc.oneof(
  fc.tuple(name, fc.constantFrom(": ", " = ", ":", "\t"), value).map((parts) => parts.join("")),
  fc.constantFrom(
    "---",
    "...",
    "[table]",
    "[[tables]]",
    `allowed-sdk-keys: ${KEY}`,
    `allowed-sdk-keys = "${KEY}"`,
  ),
  fc.string({ unit: "binary" }),
);

test.each(["yaml", "toml"])(
  "any content of a %s file yields values of known names, or a ConfigError",
  async (ending) => {
    const known = new Set<string>([...OPTIONS.map((option) => option.name), "mode", "cache"]);
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), async (lines) => {
        const path = files.write(lines.join("\n"), ending);
        try {
          const { file } = await withConfigFile(givenBy(path), {});
          expect(file?.path).toBe(path);
          for (const [each, text] of file?.values ?? []) {
            expect(known.has(each)).toBe(true);
            expect(typeof text).toBe("string");
          }
          taken++;
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          expect((error as ConfigError).message).toContain(path);
        }
      }),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(20);
  },
  60_000,
);
