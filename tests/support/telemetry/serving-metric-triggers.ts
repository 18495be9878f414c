import type { MetricTrigger } from "./metric-trigger.ts";

/** Triggers for serving threads. The last ones, since they close connections. */
export const SERVING_TRIGGERS: readonly MetricTrigger[] = [
  {
    what: "a serving thread dies",
    metrics: ["ServingThreads", "ServingThreadLost"],
    run: ({ relay }) => relay.signal("SIGUSR2"),
  },
];
