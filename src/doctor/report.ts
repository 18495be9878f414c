import type { CheckResult } from "./run-checks.ts";

const STATE_WIDTH = 8;
const NAME_WIDTH = 17;

/** For people: a line for each finding, with its mend below. */
export function textOf({ name, findings }: CheckResult): string {
  return findings
    .map((finding) => {
      const state = finding.state === "ok" ? "ok" : finding.state.toUpperCase();
      const line = `${state.padEnd(STATE_WIDTH)} ${name.padEnd(NAME_WIDTH)} ${finding.detail}`;
      return "mend" in finding ? `${line}\n${" ".repeat(STATE_WIDTH + 1)}-> ${finding.mend}` : line;
    })
    .join("\n");
}

export function isWell(results: readonly CheckResult[]): boolean {
  return results.every(({ findings }) => findings.every(({ state }) => state !== "failed"));
}

/** For programs: `{"ok":false,"checks":[{"name":"redis","state":"failed","detail":"…","mend":"…"}]}`. */
export function jsonOf(results: readonly CheckResult[]): string {
  const checks = results.flatMap(({ name, findings }) => findings.map((finding) => ({ name, ...finding })));
  return JSON.stringify({ ok: isWell(results), checks }, null, 2);
}
