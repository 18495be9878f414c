import { type Clock, systemClock, within } from "./clock.ts";
import type { Config } from "./config.ts";
import { Grace } from "./grace.ts";
import { Health } from "./health.ts";
import type { ListenerAddress } from "./listen.ts";
import { startAccess } from "./relay-access.ts";
import { relayAnswers } from "./relay-answers.ts";
import { openBackup } from "./relay-backup.ts";
import { startEvents } from "./relay-events.ts";
import { gaugeParts } from "./relay-gauges.ts";
import { startIdLists } from "./relay-id-lists.ts";
import { startListeners } from "./relay-listeners.ts";
import { startManagement } from "./relay-management.ts";
import { reconfigureParts } from "./relay-reload.ts";
import { startServiceManager } from "./relay-service-manager.ts";
import { startSpecs } from "./relay-specs.ts";
import { startStatus } from "./relay-status.ts";
import { startTelemetry } from "./relay-telemetry.ts";
import { openTls } from "./relay-tls.ts";
import { startTracing } from "./relay-tracing.ts";
import type { ProcessFaults } from "./supervision/process-faults.ts";
import type { Supervisor } from "./supervision/supervisor.ts";
import type { Logger } from "./telemetry/logs/logger.ts";

export interface RelayPorts {
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Of the process that the relay is alone in. */
  readonly faults?: ProcessFaults;
}

/** A relay that serves. */
export interface Relay extends AsyncDisposable {
  readonly listeners: readonly ListenerAddress[];
  readonly supervisor: Supervisor;
  /** Takes over of another configuration what may change while it goes on; reads certificates and lists of keys anew. */
  reconfigure(config: Config): void;
  /** Not ready at once, ends streams, finishes requests in flight, at most for the grace; then frees everything. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** After a grace that requests in flight used up. */
const LAST_WRITES_MS = 500;

/** Puts the relay together and starts it. Throws a ListenError where a port can't be had, a StartError where a file can't. */
export async function startRelay(
  config: Config,
  { logger, clock = systemClock, faults }: RelayPorts,
): Promise<Relay> {
  // Ends after all else, whatever becomes of that: the last values are told by it.
  await using watching = new AsyncDisposableStack();
  await using starting = new AsyncDisposableStack();
  const health = new Health();
  const telemetry = watching.use(await startTelemetry(config, { logger, clock }));
  const { emit, registry, supervisor } = telemetry;
  const parts = { clock, supervisor, emit };
  const tls = config.tls && starting.use(openTls(config.tls, parts));
  const access = starting.use(startAccess(config, parts));
  telemetry.keys.knownBy((sdkKey) => access.admission.isKnown(sdkKey));
  const metered = { registry, metrics: telemetry.sinks, running: watching };
  const tracing = await startTracing(config, { ...parts, ...metered });
  const backup = openBackup(config, { ...parts, running: starting });
  const specs = starting.use(startSpecs(config, { ...parts, backup, access, tracing }));
  health.require(specs.notReady);
  const idLists = starting.use(startIdLists(config, { ...parts, backup, access, tracing }));
  health.require(idLists.notReady);
  const events = starting.use(await startEvents(config, { ...parts, access, tracing }));

  const answers = relayAnswers(config, { clock, health, telemetry, specs, idLists, events });
  const { probes, inFlight, admission } = answers;
  const listeners = starting.use(await startListeners(config, { ...parts, tls, answers }));
  health.require(listeners.notReady);
  gaugeParts(registry, { clock, health, specs, events, listeners, inFlight, admission });
  const metrics = telemetry.prometheus;
  const looked = { telemetry, backup, specs, idLists, events, listeners, inFlight, admission };
  const status = startStatus(config, { clock, probes, ...looked });
  const management = await startManagement(config, {
    probes,
    metrics,
    status: status.read,
    emitLimit: emit,
    supervisor,
    running: starting,
  });
  health.become("serving");
  const { notReady } = probes;
  const manager = await startServiceManager(config, { ...parts, logger, notReady, running: starting });

  const [running, monitoring] = [starting.move(), watching.move()];
  let { shutdownGraceMs } = config;
  // What is held is served on: a fault in one task has nothing to do with most of the others.
  faults?.reportTo((kind, error) => supervisor.caught(kind, error));
  return {
    listeners: [...listeners.addresses, ...management],
    supervisor,
    reconfigure(next) {
      manager?.reloading();
      ({ shutdownGraceMs } = next);
      status.reconfigure(next);
      reconfigureParts(next, { access, specs, idLists, answers, telemetry, tls });
      manager?.reloaded();
    },
    async [Symbol.asyncDispose]() {
      health.become("draining");
      manager?.stopping();
      const graceEndsAt = clock.elapsed() + shutdownGraceMs;
      events.hurry();
      using grace = new Grace(shutdownGraceMs, clock);
      await unlessOver(grace.over, listeners.close());
      await events.flush(grace.over);
      // A backup that hangs has what is left of the grace, or a moment for the last writes.
      await within(clock, Math.max(LAST_WRITES_MS, graceEndsAt - clock.elapsed()), running.disposeAsync());
      await monitoring.disposeAsync();
    },
  };
}

async function unlessOver(graceOver: AbortSignal, work: Promise<void>): Promise<void> {
  const over = Promise.withResolvers<void>();
  graceOver.addEventListener("abort", () => over.resolve());
  await Promise.race([work, over.promise]);
}
