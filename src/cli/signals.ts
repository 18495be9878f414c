import { isatty } from "node:tty";
import { EXIT_FAILED } from "../platform/errors.ts";

interface Signals {
  /** Resolves on the first SIGTERM or SIGINT, or when the controlling terminal closes. A second one exits at once. */
  readonly stop: Promise<NodeJS.Signals>;
  /** Resolves after `ms` milliseconds, or on the next SIGTERM or SIGINT, which then does not exit. */
  delayed(ms: number): Promise<void>;
  /** Calls back for each SIGHUP, and at once if one was received before. */
  onReload(reload: () => void): void;
}

const STDOUT_AND_STDERR = [1, 2];

/** From now on, SIGTERM, SIGINT and SIGHUP no longer end the process by default. */
export function listenToSignals(): Signals {
  const stop = Promise.withResolvers<NodeJS.Signals>();
  // Under nohup, neither output is a terminal, so that the relay outlives its terminal.
  const isInTerminal = STDOUT_AND_STDERR.some((fd) => isatty(fd));
  let isReloadPending = false;
  let reload = () => {
    isReloadPending = true;
  };
  const exit = () => process.exit(EXIT_FAILED);
  const stopAt = (signal: NodeJS.Signals) => {
    stop.resolve(signal);
    onNext = exit;
  };
  let onNext = stopAt;
  // One listener for all signals: on Deno, one that is added while a signal is handled gets that signal as well.
  for (const each of ["SIGTERM", "SIGINT"] as const) process.on(each, (signal) => onNext(signal));
  process.on("SIGHUP", () => {
    if (isInTerminal && !STDOUT_AND_STDERR.some((fd) => isatty(fd))) stopAt("SIGHUP");
    else reload();
  });
  return {
    stop: stop.promise,
    async delayed(ms) {
      if (ms === 0) return;
      const over = Promise.withResolvers<void>();
      const timer = setTimeout(over.resolve, ms);
      onNext = () => over.resolve();
      await over.promise;
      clearTimeout(timer);
      onNext = exit;
    },
    onReload(callback) {
      reload = callback;
      if (isReloadPending) reload();
    },
  };
}
