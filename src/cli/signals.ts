import { isatty } from "node:tty";

/** What whoever runs the process asks of it. */
interface Signals {
  /** The first SIGTERM or SIGINT, or the end of the terminal that it runs in. A second one ends the process at once. */
  readonly stop: Promise<NodeJS.Signals>;
  /** Calls back for each SIGHUP, and at once where one came before. */
  onReload(reload: () => void): void;
}

const EXIT_FAILED = 1;

const OUTPUTS = [1, 2];

/** From now on no such signal ends the process by itself. */
export function listenToSignals(): Signals {
  const stop = Promise.withResolvers<NodeJS.Signals>();
  // Under nohup, which asks to outlive the terminal, neither is one.
  const isInTerminal = OUTPUTS.some((fd) => isatty(fd));
  let isDue = false;
  let reload = () => {
    isDue = true;
  };
  const end = () => process.exit(EXIT_FAILED);
  const stopAt = (signal: NodeJS.Signals) => {
    stop.resolve(signal);
    for (const each of ["SIGTERM", "SIGINT"] as const) process.removeAllListeners(each).once(each, end);
  };
  for (const each of ["SIGTERM", "SIGINT"] as const) process.once(each, stopAt);
  process.on("SIGHUP", () => {
    if (isInTerminal && !OUTPUTS.some((fd) => isatty(fd))) stopAt("SIGHUP");
    else reload();
  });
  return {
    stop: stop.promise,
    onReload(callback) {
      reload = callback;
      if (isDue) reload();
    },
  };
}
