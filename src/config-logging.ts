import type { Settings } from "./settings.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "./telemetry/logs/logger.ts";

export interface LoggingConfig {
  readonly format: LogFormat;
  /** The least that is logged. */
  readonly level: LogLevel;
}

/** Throws ConfigError. */
export function readLogging(settings: Settings): LoggingConfig {
  const level = settings.word("log-level", LOG_LEVELS);
  return {
    format: settings.word("log-format", LOG_FORMATS),
    level: settings.flag("debug-logging") ? "debug" : level,
  };
}
