import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../telemetry/logging/logger.ts";
import type { OptionGroup } from "./option.ts";
import type { Settings } from "./settings.ts";

export interface LoggingConfig {
  readonly format: LogFormat;
  /** The least that is logged. */
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

export const LOGGING = {
  logFormat: {
    name: "log-format",
    kind: "text",
    default: "text",
    words: LOG_FORMATS,
    placeholder: "text|json",
    isReloadable: true,
    description: "Log lines for people, or JSON objects",
  },
  logLevel: {
    name: "log-level",
    kind: "text",
    default: "info",
    words: LOG_LEVELS,
    placeholder: "LEVEL",
    isReloadable: true,
    description: "The least that is logged: debug, info, warn or error; --debug-logging is the same as debug",
  },
  debugLogging: {
    name: "debug-logging",
    kind: "flag",
    isReloadable: true,
    description: "Log every event: polls, requests, streams, with how long they took",
  },
} as const satisfies OptionGroup;
