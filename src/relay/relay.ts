import type { Config } from "../config/config.ts";
import { StartError } from "../config/settings.ts";
import type { TlsConfig } from "../config/tls.ts";
import { withTimeout } from "../platform/abort.ts";
import { type Clock, systemClock } from "../platform/clock.ts";
import type { ProcessFaults, Supervisor } from "../platform/supervisor.ts";
import { CertificateError } from "../server/certificates.ts";
import { ServerTls } from "../server/tls.ts";
import type { Logger } from "../telemetry/logging/logger.ts";
import type { ServiceManager, ServiceManagerPorts } from "../telemetry/systemd.ts";
import { type RunningAccess, startAccess } from "./access.ts";
import { openBackup } from "./backup.ts";
import { registerGauges } from "./gauges.ts";
import { type RunningIdLists, startIdLists } from "./id-lists.ts";
import { Grace, Health } from "./lifecycle.ts";
import { startEvents } from "./log-events.ts";
import {
  createHandlers,
  type ListenerAddress,
  type RequestHandlers,
  startListeners,
  startManagement,
} from "./servers.ts";
import { type RunningSpecs, startSpecs } from "./specs.ts";
import { startStatus } from "./status.ts";
import { type RunningTelemetry, startTelemetry, startTracing } from "./telemetry.ts";

interface RelayPorts {
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Reports uncaught errors of the process. Omit this if the process runs other code. */
  readonly faults?: ProcessFaults;
}

/** A running relay. */
export interface Relay extends AsyncDisposable {
  readonly listeners: readonly ListenerAddress[];
  readonly supervisor: Supervisor;
  /** Applies the reloadable options of a configuration, and reads certificates and lists of keys again. */
  reconfigure(config: Config): void;
  /**
   * Reports the relay as not ready, ends streams, and waits for requests in flight until the grace period is over. Then releases
   * all resources.
   */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The minimum time for the last writes, if requests in flight have used up the grace period. */
const LAST_WRITES_MS = 500;

/** Creates and starts all components. Throws a ListenError if a port cannot be opened, or a StartError if a file cannot be used. */
export async function startRelay(
  config: Config,
  { logger, clock = systemClock, faults }: RelayPorts,
): Promise<Relay> {
  // Disposed of last, even after an error, so that the last values are exported.
  await using watching = new AsyncDisposableStack();
  await using starting = new AsyncDisposableStack();
  const health = new Health();
  const telemetry = watching.use(await startTelemetry(config, { logger, clock }));
  const { registry, supervisor, sinks } = telemetry;
  const parts = { clock, supervisor, telemetry };
  const tls = config.tls && starting.use(openTls(config.tls, parts));
  const access = starting.use(startAccess(config, parts));
  telemetry.keys.knownBy((sdkKey) => access.admission.isKnown(sdkKey));
  const tracing = await startTracing(config, { ...parts, registry, sinks, running: watching });
  const backup = starting.use(openBackup(config, parts));
  const specs = starting.use(startSpecs(config, { ...parts, backup, access, tracing }));
  health.require(specs.notReady);
  const idLists = starting.use(startIdLists(config, { ...parts, backup, access, tracing }));
  health.require(idLists.notReady);
  const events = starting.use(await startEvents(config, { ...parts, access, tracing }));

  const handlers = createHandlers(config, { clock, health, telemetry, specs, idLists, events });
  const { probes, inFlight, admission } = handlers;
  const listeners = starting.use(await startListeners(config, { ...parts, tls, handlers }));
  health.require(listeners.notReady);
  registerGauges(registry, { clock, health, specs, events, listeners, inFlight, admission });
  const metrics = telemetry.prometheus;
  const looked = { telemetry, backup, specs, idLists, events, listeners, inFlight, admission };
  const status = startStatus(config, { clock, probes, ...looked });
  const management = starting.use(
    await startManagement(config, {
      probes,
      metrics,
      status: status.read,
      telemetry,
      supervisor,
    }),
  );
  health.become("serving");
  const { notReady } = probes;
  const manager = await startServiceManager(config, { ...parts, logger, notReady, running: starting });

  const [running, monitoring] = [starting.move(), watching.move()];
  let { shutdownGraceMs } = config;
  // What is held is served on: a fault in one task has nothing to do with most of the others.
  faults?.reportTo((kind, error) => supervisor.caught(kind, error));
  return {
    listeners: [...listeners.addresses, ...management.addresses],
    supervisor,
    reconfigure(next) {
      manager?.reloading();
      ({ shutdownGraceMs } = next);
      status.reconfigure(next);
      reconfigureParts(next, { access, specs, idLists, handlers, telemetry, tls });
      manager?.reloaded();
    },
    async [Symbol.asyncDispose]() {
      health.become("draining");
      manager?.stopping();
      const graceEndsAt = clock.elapsed() + shutdownGraceMs;
      events.drain();
      using grace = new Grace(shutdownGraceMs, clock);
      await untilGraceEnds(listeners.close(), grace.over);
      await events.flush(grace.over);
      // A hanging backup gets the rest of the grace period, and at least the time for the last writes.
      await withTimeout(
        running.disposeAsync(),
        Math.max(LAST_WRITES_MS, graceEndsAt - clock.elapsed()),
        clock,
      );
      await monitoring.disposeAsync();
    },
  };
}

/** Resolves when the work has finished or the grace period is over, whichever comes first. */
async function untilGraceEnds(work: Promise<void>, graceOver: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<void>();
  graceOver.addEventListener("abort", () => over.resolve());
  await Promise.race([work, over.promise]);
}

interface ReloadableParts {
  readonly access: RunningAccess;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly handlers: RequestHandlers;
  readonly telemetry: Pick<RunningTelemetry, "specs">;
  readonly tls: ServerTls | undefined;
}

/** Applies the reloadable options to each component. No step can fail, so a configuration is applied as a whole. */
function reconfigureParts(config: Config, parts: ReloadableParts): void {
  const { access, specs, idLists, handlers, telemetry, tls } = parts;
  // Access first: a key that is no longer allowed must not be polled again.
  access.reconfigure(config);
  const before = specs.preload;
  specs.reconfigure(config);
  const { polls } = telemetry.specs;
  polls.preload(specs.preload);
  for (const feed of before) if (specs.store.peek(feed) === undefined) polls.forget(feed);
  idLists.reconfigure(config);
  handlers.reconfigure(config);
  tls?.checkNow();
}

/** Notifies the service manager that the relay has started. Loaded only if there is one, since it calls the C library. */
async function startServiceManager(
  { serviceManager }: Config,
  { running, ...ports }: ServiceManagerPorts & { readonly running: AsyncDisposableStack },
): Promise<ServiceManager | undefined> {
  if (serviceManager === undefined) return undefined;
  const { ServiceManager } = await import("../telemetry/systemd.ts");
  return running.use(new ServiceManager(serviceManager, ports));
}

interface TlsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<RunningTelemetry, "tls">;
}

/** Throws a StartError if a file cannot be used. */
function openTls(config: TlsConfig, { telemetry, ...parts }: TlsParts): ServerTls {
  try {
    return new ServerTls(config, { ...parts, emit: telemetry.tls.emit });
  } catch (error) {
    throw error instanceof CertificateError ? new StartError(error.message) : error;
  }
}
