import { format } from "node:util";
import { describeText } from "../errors.ts";

/** Called with what a library printed: one line without secrets. */
type ReportForeignOutput = (text: string) => void;

/** What Worker threads print goes to the main thread over this channel, since only that one writes the log. */
const CHANNEL = "foreign-output";

const METHODS = ["debug", "dir", "error", "info", "log", "table", "trace", "warn"] as const;

/**
 * Reports what libraries print with `console` and the warnings of the runtime, from this thread and all Worker threads, instead of
 * printing it: a program that reads the log as JSON must not find other lines in it.
 */
export function captureForeignOutput(report: ReportForeignOutput): void {
  capture(report);
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => report(String(data));
  (channel as BroadcastChannel & { readonly unref?: () => void }).unref?.();
}

/** Call this in each Worker thread: sends what is printed there to {@link captureForeignOutput}. */
export function forwardForeignOutput(): void {
  let channel: BroadcastChannel | undefined;
  capture((text) => {
    channel ??= new BroadcastChannel(CHANNEL);
    channel.postMessage(text);
  });
}

function capture(report: ReportForeignOutput): void {
  const print = (...printed: readonly unknown[]) => report(describeText(format(...printed)));
  for (const method of METHODS) console[method] = print;
  process.emitWarning = (warning: string | Error) =>
    report(describeText(warning instanceof Error ? `${warning.name}: ${warning.message}` : warning));
}
