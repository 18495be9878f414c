import { type Clock, systemClock } from "../../../src/platform/clock.ts";
import { Supervisor } from "../../../src/platform/supervisor.ts";

/** For parts on their own, of which no error is expected: one that happens fails the test that runs. */
export const strictSupervisor = (clock: Clock = systemClock): Supervisor =>
  new Supervisor({
    clock,
    emit: (event) => {
      if (event.kind === "loop_recovered") return;
      queueMicrotask(() => {
        throw new Error(`unexpected: ${JSON.stringify(event)}`);
      });
    },
  });

/** For tests that end Workers, or whatever else is reported, on purpose. */
export const quietSupervisor = (clock: Clock = systemClock): Supervisor =>
  new Supervisor({ clock, emit: () => {} });
