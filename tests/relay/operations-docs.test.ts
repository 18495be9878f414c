import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

const codeIn = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => read(join(folder, path)))
    .join("\n");
const sources =
  codeIn("src/telemetry/topics") + codeIn("src/telemetry/logging") + read("src/config/reload.ts");

/** Returns the log messages in code marks: three words or more that are not a command, an option or a path. They may name options. */
function logLinesIn(text: string): string[] {
  const marked = [...text.matchAll(/`([^`\n]+)`/g)].map(([, words = ""]) => words);
  return marked.filter(
    (words) =>
      /^[A-Za-z][a-zA-Z',: -]+$/.test(words) &&
      words.split(" ").length >= 3 &&
      !/^(npm|doctor|redis-cli) /.test(words),
  );
}

describe.each(["docs/operations.md", "docs/troubleshooting.md"])("%s", (path) => {
  test("quotes only log messages that exist", () => {
    const lines = logLinesIn(read(path));
    expect(lines.length).toBeGreaterThan(3);
    // Some messages are the kind of an event with spaces.
    const isThere = (line: string) => sources.includes(line) || sources.includes(line.replaceAll(" ", "_"));
    // Some messages begin with a placeholder for what is exported.
    const known = lines.filter(
      (line) => isThere(line) || isThere(line.replace(/^(metric|trace)(?= export )/, "$" + "{what}")),
    );
    expect(lines.filter((line) => !known.includes(line))).toEqual([]);
  });

  test("quotes only problems of the status page that exist", () => {
    const shown = codeIn("src/telemetry/status") + codeIn("src/telemetry/topics");
    const quoted = [...read(path).matchAll(/page: "([^"]+)"/g)].map(([, words = ""]) => words);
    expect(quoted.filter((words) => !shown.includes(words))).toEqual([]);
  });

  test("names only metrics that exist", () => {
    const metrics = new Set(read("docs/monitoring.md").match(/(?<=^\| `)[A-Z]\w+/gm));
    const named = [...read(path).matchAll(/`([A-Z][a-z]+[A-Z]\w+)`/g)].map(([, name = ""]) => name);
    expect(named.filter((name) => !metrics.has(name))).toEqual([]);
  });

  test("names only alerts that exist", () => {
    const alerts = new Set(read("deploy/prometheus/alerts.yaml").match(/StatsigRelay\w+/g));
    const named = read(path).match(/StatsigRelay\w+/g) ?? [];
    expect(named.filter((alert) => !alerts.has(alert))).toEqual([]);
  });

  test("names only options that exist", () => {
    const options = new Set(read("docs/configuration.md").match(/--[a-z][a-z0-9-]+/g));
    const others = [
      "--json",
      "--print-config",
      "--version",
      "--scan",
      "--pattern",
      "--compressed",
      "--retry",
      "--retry-delay",
      "--cacert",
      "--out",
      "--from",
      "--cert",
      "--key",
      "--header-table-size",
    ];
    const named = read(path).match(/(?<![\w-])--[a-z][a-z0-9-]+/g) ?? [];
    expect(named.filter((option) => !options.has(option) && !others.includes(option))).toEqual([]);
  });
});
