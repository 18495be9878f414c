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
      await unlessOver(grace.over, listeners.close());
      await events.flush(grace.over);
      // A backup that hangs has what is left of the grace, or a moment for the last writes.
      await withTimeout(
        running.disposeAsync(),
        Math.max(LAST_WRITES_MS, graceEndsAt - clock.elapsed()),
        clock,
      );
      await monitoring.disposeAsync();
    },
  };
}

async function unlessOver(graceOver: AbortSignal, work: Promise<void>): Promise<void> {
  const over = Promise.withResolvers<void>();
  graceOver.addEventListener("abort", () => over.resolve());
  await Promise.race([work, over.promise]);
}

interface LiveParts {
  readonly access: RunningAccess;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly handlers: RequestHandlers;
  readonly telemetry: Pick<RunningTelemetry, "specs">;
  readonly tls: ServerTls | undefined;
}

/**
 * Each part takes over what of a configuration may change while it goes on: the options of the table that are live.
 * Nothing of this can fail, so that all is taken over or nothing.
 */
function reconfigureParts(config: Config, parts: LiveParts): void {
  const { access, specs, idLists, handlers, telemetry, tls } = parts;
  // First who may ask: what is no longer allowed must not be polled once more.
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

/** Loaded where somebody wants to hear, and only there: it calls the C library. Says that the relay runs. */
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

/** Throws a StartError where a file can't be used. */
function openTls(config: TlsConfig, { telemetry, ...parts }: TlsParts): ServerTls {
  try {
    return new ServerTls(config, { ...parts, emit: telemetry.tls.emit });
  } catch (error) {
    throw error instanceof CertificateError ? new StartError(error.message) : error;
  }
}
