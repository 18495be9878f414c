/** How an error came to the end of the process's own code with nobody to catch it. */
export type FaultKind = "uncaught_exception" | "unhandled_rejection";

export type ReportFault = (kind: FaultKind, error: unknown) => void;

/** Errors that nothing caught; without this Bun prints a stack of the code, and may end the process. */
export interface ProcessFaults {
  /** From now on they are reported here, and no longer to who was told before. */
  reportTo(report: ReportFault): void;
}

export function listenForFaults(first: ReportFault): ProcessFaults {
  let report = first;
  const tell = (kind: FaultKind) => (error: unknown) => {
    try {
      report(kind, error);
    } catch {
      // An error from here would be one of these again, without an end.
    }
  };
  process.on("uncaughtException", tell("uncaught_exception"));
  process.on("unhandledRejection", tell("unhandled_rejection"));
  return {
    reportTo: (next) => {
      report = next;
    },
  };
}
