/** What was found, and what mends it. */
export type Finding =
  | { readonly state: "ok" | "skipped"; readonly detail: string }
  /** `warning`: the relay works, but not as well as it should. */
  | { readonly state: "warning" | "failed"; readonly detail: string; readonly mend: string };

/** One thing that a relay needs. */
export interface Check {
  readonly name: string;
  /** What it rejects with is reported as a failure; it is given up when the signal is aborted. */
  run(signal: AbortSignal): Promise<readonly Finding[]>;
}

export const ok = (detail: string): Finding => ({ state: "ok", detail });
export const skipped = (detail: string): Finding => ({ state: "skipped", detail });
export const warning = (detail: string, mend: string): Finding => ({ state: "warning", detail, mend });
export const failed = (detail: string, mend: string): Finding => ({ state: "failed", detail, mend });
