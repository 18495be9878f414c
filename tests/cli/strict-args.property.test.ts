import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseStrictArgs, type StrictArgs, UsageError } from "../../src/cli/arguments.ts";
import { namesOf, type OptionSpec } from "../../src/config/option.ts";
import { ALL_OPTIONS } from "../../src/config/options.ts";

const read = (...argv: readonly string[]): StrictArgs => parseStrictArgs(argv, ALL_OPTIONS);

const option = fc.constantFrom(...ALL_OPTIONS);
const withValue = fc.constantFrom(...ALL_OPTIONS.filter(({ kind }) => kind !== "flag"));
const named = (each: OptionSpec) => `--${each.name}`;

/** Valid and mistyped words of a command line. */
const word = fc.oneof(
  option.map(named),
  option.chain((each) => fc.string().map((value) => `${named(each)}=${value}`)),
  option.chain((each) => fc.string({ maxLength: 2 }).map((rest) => `-${each.short ?? "x"}${rest}`)),
  option.chain((each) => fc.nat(each.name.length).map((length) => `--${each.name.slice(0, length)}`)),
  fc.constantFrom("-", "--", "---", "--=", "-=", "=", "", "--__proto__=1", "--constructor", "http", "local"),
  fc.string({ unit: "binary" }),
);

describe("any command line", () => {
  test("is parsed, or throws a UsageError", () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12, size: "max" }), (argv) => {
        try {
          const { values, positionals } = read(...argv);
          for (const name of values.keys()) expect(ALL_OPTIONS.map((each) => each.name)).toContain(name);
          for (const positional of positionals) expect(argv).toContain(positional);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
          expect((error as UsageError).message).not.toBe("");
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test("is not modified by parsing", () => {
    fc.assert(
      fc.property(fc.array(word), (argv) => {
        const before = [...argv];
        try {
          read(...argv);
        } catch {}
        expect(argv).toEqual(before);
      }),
    );
  });

  test("has only positional arguments after --", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (rest) => {
        expect(read("http", "--", ...rest)).toEqual({ values: new Map(), positionals: ["http", ...rest] });
      }),
    );
  });
});

describe("an option's value", () => {
  const value = fc.oneof(
    fc.string(),
    fc.nat().map(String),
    fc.constantFrom("", "-", "-5", "=", "a=b", "--5"),
  );

  test("is the same after a space and after =, for long and short names", () => {
    fc.assert(
      fc.property(
        withValue,
        value.filter((text) => !/^--?[A-Za-z]/.test(text)),
        (each, text) => {
          const expected = { values: new Map([[each.name, text]]), positionals: ["http"] };
          expect(read(named(each), text, "http")).toEqual(expected);
          expect(read("http", `${named(each)}=${text}`)).toEqual(expected);
          if (each.short === undefined) return;
          expect(read("http", `-${each.short}`, text)).toEqual(expected);
          expect(read(`-${each.short}=${text}`, "http")).toEqual(expected);
          if (text !== "" && !text.startsWith("="))
            expect(read(`-${each.short}${text}`, "http")).toEqual(expected);
        },
      ),
    );
  });

  test("that looks like an option is accepted only after =", () => {
    fc.assert(
      fc.property(withValue, option, (each, other) => {
        const text = named(other);
        expect(read(`${named(each)}=${text}`).values.get(each.name)).toBe(text);
        expect(() => read(named(each), text)).toThrow(`missing value for ${named(each)}`);
      }),
    );
  });

  test("is required", () => {
    fc.assert(fc.property(withValue, (each) => expect(() => read(named(each))).toThrow(UsageError)));
  });
});

describe("a flag", () => {
  const flags = ALL_OPTIONS.filter(({ kind }) => kind === "flag");
  const flag = fc.constantFrom(...flags.filter(({ mayTakeWord }) => !mayTakeWord));

  test("takes no word after a space, and true or false after =", () => {
    fc.assert(
      fc.property(flag, fc.constantFrom("true", "false", "1", "0"), (each, text) => {
        expect(read(named(each), text)).toEqual({
          values: new Map([[each.name, "true"]]),
          positionals: [text],
        });
        const value = String(text === "true" || text === "1");
        const expected = { values: new Map([[each.name, value]]), positionals: [] };
        expect(read(`${named(each)}=${text}`)).toEqual(expected);
        if (each.short !== undefined) expect(read(`-${each.short}=${text}`)).toEqual(expected);
      }),
    );
  });

  test("takes true or false after a space if its row says so, and no other word", () => {
    const wordFlag = fc.constantFrom(...flags.filter(({ mayTakeWord }) => mayTakeWord));
    const word = fc.oneof(fc.constantFrom("true", "false", "1", "0", "http"), fc.string());
    fc.assert(
      fc.property(
        wordFlag,
        word.filter((text) => !text.startsWith("-")),
        (each, text) => {
          const isTaken = text === "true" || text === "false";
          expect(read(named(each), text, "redis")).toEqual({
            values: new Map([[each.name, isTaken ? text : "true"]]),
            positionals: isTaken ? ["redis"] : [text, "redis"],
          });
        },
      ),
    );
  });

  test("rejects any other value, and the error names the option and the value", () => {
    const wrong = fc.string().filter((text) => !["true", "false", "1", "0"].includes(text));
    fc.assert(
      fc.property(flag, wrong, (each, text) => {
        const message = `invalid value "${text}" for ${named(each)} (expected true or false`;
        expect(() => read(`${named(each)}=${text}`)).toThrow(message);
      }),
    );
  });
});

test("a duplicate option is an error in every form", () => {
  fc.assert(
    fc.property(fc.constantFrom(...ALL_OPTIONS.filter(({ isRepeatable }) => !isRepeatable)), (each) => {
      const forms = [`${named(each)}=1`, ...(each.short && each.kind !== "flag" ? [`-${each.short}1`] : [])];
      for (const form of forms)
        expect(() => read(`${named(each)}=1`, form)).toThrow("is given more than once");
    }),
  );
});

test("the lists of a repeatable option are joined", () => {
  const argv = ["--statsig-logging-tags", "a:A", "http", "--statsig-logging-tags=b:B,c:C"];
  expect(read(...argv).values).toEqual(new Map([["statsig-logging-tags", "a:A,b:B,c:C"]]));
});

test("every name of an option means the same", () => {
  for (const each of ALL_OPTIONS) {
    for (const alias of each.aliases ?? []) {
      expect(read(`--${alias}=1`)).toEqual(read(`${named(each)}=1`));
      expect(() => read(`--${alias}=1`, `${named(each)}=1`)).toThrow("is given more than once");
    }
  }
  expect(read("--update-batch-size", "32").values).toEqual(new Map([["max-in-flight", "32"]]));
});

test("an unknown option is an error that names it", () => {
  const names = new Set<string>(ALL_OPTIONS.flatMap(namesOf));
  const unknown = fc.stringMatching(/^[a-z][a-z-]{0,20}$/).filter((name) => !names.has(name));
  fc.assert(
    fc.property(unknown, fc.constantFrom("", "=", "=1"), (name, rest) => {
      expect(() => read(`--${name}${rest}`)).toThrow(`unknown option --${name} (`);
    }),
  );
});
