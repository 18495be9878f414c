/** What was found, and what mends it. */
export type CheckResult =
  | { readonly state: "ok" | "skipped"; readonly detail: string }
  /** `warning`: the relay works, but not as well as it should. */
  | { readonly state: "warning" | "failed"; readonly detail: string; readonly mend: string };

/** One thing that a relay needs. */
export interface Check {
  readonly name: string;
  /** What it rejects with is reported as a failure; it is given up when the signal is aborted. */
  run(signal: AbortSignal): Promise<readonly CheckResult[]>;
}

export const ok = (detail: string): CheckResult => ({ state: "ok", detail });
export const skipped = (detail: string): CheckResult => ({ state: "skipped", detail });
export const warning = (detail: string, mend: string): CheckResult => ({ state: "warning", detail, mend });
export const failed = (detail: string, mend: string): CheckResult => ({ state: "failed", detail, mend });

export interface CompletedCheck {
  readonly name: string;
  readonly findings: readonly CheckResult[];
}

/** Of one check. */
const TIME_LIMIT_MS = 15_000;

/** One after the other: what comes first explains what fails behind it. */
export async function* runChecks(checks: readonly Check[]): AsyncGenerator<CompletedCheck> {
  for (const check of checks) yield { name: check.name, findings: await findingsOf(check) };
}

async function findingsOf(check: Check): Promise<readonly CheckResult[]> {
  const signal = AbortSignal.timeout(TIME_LIMIT_MS);
  const late = Promise.withResolvers<readonly CheckResult[]>();
  signal.addEventListener("abort", () => {
    late.resolve([failed(`no result within ${TIME_LIMIT_MS / 1_000} s`, "see what keeps it from answering")]);
  });
  try {
    return await Promise.race([check.run(signal), late.promise]);
  } catch (error) {
    return [failed(`the check itself failed: ${(error as Error).message}`, "please report this")];
  }
}

const STATE_WIDTH = 8;
const NAME_WIDTH = 17;

/** For people: a line for each finding, with its mend below. */
export function formatText({ name, findings }: CompletedCheck): string {
  return findings
    .map((finding) => {
      const state = finding.state === "ok" ? "ok" : finding.state.toUpperCase();
      const line = `${state.padEnd(STATE_WIDTH)} ${name.padEnd(NAME_WIDTH)} ${finding.detail}`;
      return "mend" in finding ? `${line}\n${" ".repeat(STATE_WIDTH + 1)}-> ${finding.mend}` : line;
    })
    .join("\n");
}

export function hasPassed(results: readonly CompletedCheck[]): boolean {
  return results.every(({ findings }) => findings.every(({ state }) => state !== "failed"));
}

/** For programs: `{"ok":false,"checks":[{"name":"redis","state":"failed","detail":"…","mend":"…"}]}`. */
export function formatJson(results: readonly CompletedCheck[]): string {
  const checks = results.flatMap(({ name, findings }) => findings.map((finding) => ({ name, ...finding })));
  return JSON.stringify({ ok: hasPassed(results), checks }, null, 2);
}
