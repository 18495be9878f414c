import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { OptionSpec } from "../../src/config/option.ts";
import { OPTIONS } from "../../src/config/options.ts";

import { VARIABLES } from "../../src/config/variables.ts";
import { REDIS_KEY_SCHEMAS } from "../../src/redis/keys.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../../src/telemetry/logging/logger.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { runRelay } from "../support/relay/relay-process.ts";

const root = join(import.meta.dir, "../..");
const textOf = (path: string) => readFileSync(join(root, path), "utf8");

describe("docs/configuration.md", () => {
  const document = textOf("docs/configuration.md");

  test("names every option and every variable", () => {
    for (const { name } of OPTIONS) expect(document).toContain(`\`--${name}\``);
    for (const { name } of VARIABLES) expect(document).toContain(`\`${name}\``);
  });

  test("shows a valid configuration file", async () => {
    using files = new ConfigFiles();
    const [, yaml = ""] = /```yaml\n([^`]+)```/.exec(document) ?? [];
    const settings = parse(yaml);
    const keys = files.write("secret-a\n", "txt");
    expect(settings["preload-sdk-keys"]).toBe("@/run/secrets/sdk-keys");
    const path = files.write(yaml.replace("/run/secrets/sdk-keys", keys));
    const { exitCode, stdout } = await runRelay(["--config", path, "--print-config"]);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining(`polling-interval-in-s: 5  # ${path}`)]);
  });
});

describe("the tables of options and variables", () => {
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => textOf(join("src", path)));

  test("contain every variable that is read", () => {
    const read =
      /\b(?:env|variables)\["([A-Z][A-Z0-9_]+)"\]|\b(?:readWholeNumberVariable|readUrl)\(env, "([A-Z][A-Z0-9_]+)"/g;
    const names = sources.flatMap((text) => [...text.matchAll(read)].map(([, name, other]) => name ?? other));
    expect(names.length).toBeGreaterThan(30);
    const known = new Set(VARIABLES.map(({ name }) => name));
    expect(names.filter((name) => name !== undefined && !known.has(name))).toEqual([]);
  });

  test("say why something has no effect", () => {
    const all: readonly { readonly hasNoEffect?: true; readonly description: string }[] = [
      ...OPTIONS,
      ...VARIABLES,
    ];
    for (const { hasNoEffect = false, description } of all) {
      expect([description, description.startsWith("No effect: ")]).toEqual([description, hasNoEffect]);
    }
  });

  test("allow the same words as the code", () => {
    const wordsOf = (name: string) =>
      (OPTIONS as readonly OptionSpec[]).find((option) => option.name === name)?.words;
    expect(wordsOf("log-format")).toEqual(LOG_FORMATS);
    expect(wordsOf("log-level")).toEqual(LOG_LEVELS);
    expect(wordsOf("redis-key-schema")).toEqual(REDIS_KEY_SCHEMAS);
  });
});
