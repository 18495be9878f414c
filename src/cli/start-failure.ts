import { LOGGING } from "../config/groups/logging.ts";
import { environmentNames, findSetting } from "../config/options.ts";
import type { Environment, GivenConfig } from "../config/settings.ts";
import { LineLogger, type LogFormat } from "../telemetry/logging/logger.ts";
import { findSubcommand } from "./subcommands.ts";

/** How a relay was to be started, as far as that is known when the start fails. */
export interface Start {
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Undefined if the command line could not be parsed. */
  readonly given: GivenConfig | undefined;
}

/** Returns the line that says why a relay did not start, in the format that its log would have. `problem` is one line. */
export function formatStartFailure(problem: string, exitCode: number, start: Start): string {
  if (findFormat(start) === "text") return `error: ${problem}\n`;
  const lines: string[] = [];
  const logger = new LineLogger((line) => lines.push(line), { format: "json", level: "error" });
  logger.log("error", "relay not started", { reason: problem, exitCode });
  return lines.join("");
}

/** A format that is not valid is a failure of its own, which is shown as text. */
function findFormat({ argv, env, given }: Start): LogFormat {
  return (given === undefined ? findInArguments(argv, env) : findInConfig(given, env)) === "json"
    ? "json"
    : "text";
}

function findInConfig(given: GivenConfig, env: Environment): string | undefined {
  try {
    return findSetting(given, env)(LOGGING.logFormat).text;
  } catch {
    return undefined;
  }
}

/** Other commands print for people, whatever format the log of the relay has. */
function findInArguments(argv: readonly string[], env: Environment): string | undefined {
  if (argv.some((word) => findSubcommand(word) !== undefined)) return undefined;
  const option = `--${LOGGING.logFormat.name}`;
  const at = argv.lastIndexOf(option);
  if (at >= 0) return argv[at + 1];
  const joined = argv.findLast((word) => word.startsWith(`${option}=`));
  if (joined !== undefined) return joined.slice(option.length + 1);
  return environmentNames(LOGGING.logFormat)
    .map((name) => env[name])
    .find(Boolean);
}
