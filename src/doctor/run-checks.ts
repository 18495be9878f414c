import { type Check, type Finding, failed } from "./check.ts";

export interface CheckResult {
  readonly name: string;
  readonly findings: readonly Finding[];
}

/** Of one check. */
const TIME_LIMIT_MS = 15_000;

/** One after the other: what comes first explains what fails behind it. */
export async function* runChecks(checks: readonly Check[]): AsyncGenerator<CheckResult> {
  for (const check of checks) yield { name: check.name, findings: await findingsOf(check) };
}

async function findingsOf(check: Check): Promise<readonly Finding[]> {
  const signal = AbortSignal.timeout(TIME_LIMIT_MS);
  const late = Promise.withResolvers<readonly Finding[]>();
  signal.addEventListener("abort", () => {
    late.resolve([failed(`no result within ${TIME_LIMIT_MS / 1_000} s`, "see what keeps it from answering")]);
  });
  try {
    return await Promise.race([check.run(signal), late.promise]);
  } catch (error) {
    return [failed(`the check itself failed: ${(error as Error).message}`, "please report this")];
  }
}
