import type { MetricTrigger } from "./metric-trigger.ts";
import type { MonitoredRelay } from "./monitored-relay.ts";
import { LOSS_TRIGGER, OTHER_TRIGGERS } from "./other-metric-triggers.ts";
import { SERVING_TRIGGERS } from "./serving-metric-triggers.ts";
import { SPEC_TRIGGERS } from "./spec-metric-triggers.ts";

/** All triggers in their order. Those of one step do not depend on each other. */
const STEPS: readonly (readonly MetricTrigger[])[] = [
  OTHER_TRIGGERS,
  ...[LOSS_TRIGGER, ...SPEC_TRIGGERS, ...SERVING_TRIGGERS].map((each) => [each]),
];

export const ALL_TRIGGERS: readonly MetricTrigger[] = STEPS.flat();

/** Runs all triggers. Rejects if a destination does not see one of their metrics. */
export async function runTriggers(monitored: MonitoredRelay): Promise<void> {
  for (const step of STEPS) {
    await Promise.all(step.map(({ run }) => run(monitored)));
    await monitored.sees(step.flatMap(({ metrics }) => metrics)).catch((error: Error) => {
      const last = monitored.relay.output().slice(-2_000);
      throw new Error(`${step.map(({ what }) => what).join("; ")}: ${error.message}\n${last}`);
    });
  }
}
