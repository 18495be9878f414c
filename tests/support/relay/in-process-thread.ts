import type { ThreadEnd } from "../../../src/control/serving-thread.ts";
import type { Clock } from "../../../src/platform/clock.ts";
import { serve } from "../../../src/serving/serve.ts";

/** Returns what starts a "thread" that runs in this one, with a clock that the test moves. */
export function inProcessThreads(clock: Clock): () => ThreadEnd {
  return () => {
    const { port1, port2 } = new MessageChannel();
    for (const port of [port1, port2]) port.start();
    serve(port2, clock);
    const end = Object.assign(port1, {
      terminate: () => {
        for (const port of [port1, port2]) port.close();
      },
    });
    return end as unknown as ThreadEnd;
  };
}
