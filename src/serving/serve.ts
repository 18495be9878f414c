import type { Clock } from "../platform/clock.ts";
import { type ChannelEnd, ThreadChannel } from "../platform/thread-channel.ts";
import type { FromServing, ToServing } from "./messages.ts";
import { Serving } from "./serving.ts";

/** Serves clients as the control plane says, until the thread is terminated. */
export function serve(end: ChannelEnd, clock: Clock): void {
  let serving: Serving | undefined;
  const channel = new ThreadChannel<FromServing, ToServing>(end, (message) => {
    if (message.kind === "set_up") serving = new Serving(message.setup, channel, clock);
    else serving?.receive(message);
  });
}
