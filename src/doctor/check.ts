import { untilAborted } from "../platform/abort.ts";

/** A result of a check, and how to fix the problem. */
export type CheckResult =
  | { readonly state: "ok" | "skipped"; readonly detail: string }
  /** With a `warning`, the relay works, but not as well as it should. */
  | { readonly state: "warning" | "failed"; readonly detail: string; readonly fix: string };

/** One thing that a relay needs. */
export interface Check {
  readonly name: string;
  /** A rejection is reported as a failure. The signal is aborted after the time limit. */
  run(signal: AbortSignal): Promise<readonly CheckResult[]>;
}

export const ok = (detail: string): CheckResult => ({ state: "ok", detail });
export const skipped = (detail: string): CheckResult => ({ state: "skipped", detail });
export const warning = (detail: string, fix: string): CheckResult => ({ state: "warning", detail, fix });
export const failed = (detail: string, fix: string): CheckResult => ({ state: "failed", detail, fix });

export interface CompletedCheck {
  readonly name: string;
  readonly results: readonly CheckResult[];
}

/** Enough SDK keys to find a systematic problem. */
export const MAX_CHECKED_KEYS = 20;

/** Time limit of one check. */
const TIME_LIMIT_MS = 15_000;

/** Runs the checks one after the other, since an early failure explains later ones. */
export async function* runChecks(checks: readonly Check[]): AsyncGenerator<CompletedCheck> {
  for (const check of checks) yield { name: check.name, results: await runCheck(check) };
}

async function runCheck(check: Check): Promise<readonly CheckResult[]> {
  const signal = AbortSignal.timeout(TIME_LIMIT_MS);
  try {
    return await untilAborted(check.run(signal), signal);
  } catch (error) {
    if (signal.aborted) {
      return [failed(`no result within ${TIME_LIMIT_MS / 1_000} s`, "find out why it does not respond")];
    }
    return [failed(`the check itself failed: ${(error as Error).message}`, "please report this")];
  }
}

const STATE_WIDTH = 8;
const NAME_WIDTH = 17;

/** Formats a check for people: one line for each result, followed by its fix. */
export function formatText({ name, results }: CompletedCheck): string {
  return results
    .map((result) => {
      const state = result.state === "ok" ? "ok" : result.state.toUpperCase();
      const line = `${state.padEnd(STATE_WIDTH)} ${name.padEnd(NAME_WIDTH)} ${result.detail}`;
      return "fix" in result ? `${line}\n${" ".repeat(STATE_WIDTH + 1)}-> ${result.fix}` : line;
    })
    .join("\n");
}

export function hasPassed(checks: readonly CompletedCheck[]): boolean {
  return checks.every(({ results }) => results.every(({ state }) => state !== "failed"));
}

/** Formats the report for programs: `{"ok":false,"checks":[{"name":"redis","state":"failed","detail":"…","fix":"…"}]}`. */
export function formatJson(completed: readonly CompletedCheck[]): string {
  const checks = completed.flatMap(({ name, results }) => results.map((result) => ({ name, ...result })));
  return JSON.stringify({ ok: hasPassed(completed), checks }, null, 2);
}
