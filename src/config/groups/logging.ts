import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../../telemetry/logging/logger.ts";
import type { OptionGroup } from "../option.ts";
import type { Settings } from "../settings.ts";

export interface LoggingConfig {
  readonly format: LogFormat;
  /** The lowest level that is logged. */
  readonly level: LogLevel;
}

/** Throws ConfigError. */
export function readLogging(settings: Settings): LoggingConfig {
  const level = settings.word(LOGGING.logLevel);
  return {
    format: settings.word(LOGGING.logFormat),
    level: settings.flag(LOGGING.debugLogging) ? "debug" : level,
  };
}

/** The options of logging, in the order of `--help`. */
export const LOGGING = {
  logFormat: {
    name: "log-format",
    kind: "text",
    default: "text",
    words: LOG_FORMATS,
    placeholder: "text|json",
    isReloadable: true,
    description: "Format of log lines: text for people, JSON for programs",
  },
  logLevel: {
    name: "log-level",
    kind: "text",
    default: "info",
    words: LOG_LEVELS,
    placeholder: "LEVEL",
    isReloadable: true,
    description: "Lowest level to log: debug, info, warn or error; --debug-logging sets debug",
  },
  debugLogging: {
    name: "debug-logging",
    kind: "flag",
    isReloadable: true,
    description: "Log every poll, request and stream, with its duration",
  },
} as const satisfies OptionGroup;
