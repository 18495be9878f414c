import type { Clock } from "../platform/clock.ts";
import { describeError } from "../platform/errors.ts";
import type { ReportFault } from "../platform/supervisor.ts";
import { type ChannelEnd, ThreadChannel } from "../platform/thread-channel.ts";
import type { FromServing, ToServing } from "./messages.ts";
import { Serving } from "./serving.ts";

/**
 * Serves clients as the control plane says, until the thread is terminated. Returns what reports an unexpected error.
 * `onNamed` is called once with the name of the thread.
 */
export function serve(end: ChannelEnd, clock: Clock, onNamed?: (thread: string) => void): ReportFault {
  let serving: Serving | undefined;
  const channel = new ThreadChannel<FromServing, ToServing>(end, (message) => {
    if (message.kind !== "set_up") {
      serving?.receive(message);
      return;
    }
    onNamed?.(message.setup.name);
    try {
      serving = new Serving(message.setup, channel, clock);
    } catch (error) {
      channel.send({ kind: "set_up_failed", error: describeError(error) });
    }
  });
  return (task, error) => channel.send({ kind: "fault", task, error: describeError(error) });
}
