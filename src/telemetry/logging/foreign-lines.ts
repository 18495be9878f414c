import type { Clock } from "../../platform/clock.ts";
import { captureForeignOutput } from "../../platform/process/foreign-output.ts";
import type { Logger } from "./logger.ts";
import { ThrottledLogs } from "./throttled-log.ts";

/**
 * Logs what libraries print, and warnings of the runtime, so that every line of the output has the format of the log. Each text is
 * one line a minute: a library may print it for every connection.
 */
export function logForeignOutput(logger: Logger, clock: Clock): void {
  const logs = new ThrottledLogs(logger, clock);
  captureForeignOutput((detail) => logs.of(detail).log("warn", "unexpected output of a library", { detail }));
}
