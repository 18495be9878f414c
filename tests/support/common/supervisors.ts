import { type Clock, systemClock } from "../../../src/platform/clock.ts";
import { Supervisor } from "../../../src/platform/supervisor.ts";

/** Returns a supervisor for tests without expected errors: an error that it reports fails the test. */
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

/** Returns a supervisor that ignores errors, for tests that cause them on purpose. */
export const quietSupervisor = (clock: Clock = systemClock): Supervisor =>
  new Supervisor({ clock, emit: () => {} });
