import type { Clock } from "../platform/clock.ts";
import type { ReportFault } from "../platform/supervisor.ts";
import { type ChannelEnd, ThreadChannel } from "../platform/thread-channel.ts";
import type { FromServing, ToServing } from "./messages.ts";
import { Serving } from "./serving.ts";

/** Serves clients as the control plane says, until the thread is terminated. Returns what reports an unexpected error. */
export function serve(end: ChannelEnd, clock: Clock): ReportFault {
  let serving: Serving | undefined;
  const channel = new ThreadChannel<FromServing, ToServing>(end, (message) => {
    if (message.kind === "set_up") serving = new Serving(message.setup, channel, clock);
    else serving?.receive(message);
  });
  return (kind, error) => serving?.reports.fault(kind, error);
}
