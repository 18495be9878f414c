import type { Config } from "../config/config.ts";
import { StartError } from "../config/settings.ts";
import type { ThreadEnd } from "../control/serving-thread.ts";
import { withTimeout } from "../platform/abort.ts";
import { type Clock, systemClock } from "../platform/clock.ts";
import type { ProcessFaults, Supervisor } from "../platform/supervisor.ts";
import { CertificateWatch } from "../server/certificate-watch.ts";
import { CertificateError } from "../server/certificates.ts";
import type { Logger } from "../telemetry/logging/logger.ts";
import type { ServiceManager, ServiceManagerPorts } from "../telemetry/systemd.ts";
import { startAccess } from "./access.ts";
import { openBackup } from "./backup.ts";
import { openBootstrap } from "./bootstrap.ts";
import { registerGauges } from "./gauges.ts";
import { startIdLists } from "./id-lists.ts";
import { Health, ShutdownGrace } from "./lifecycle.ts";
import type { ListenerAddress } from "./listening.ts";
import { startEvents } from "./log-events.ts";
import { startManagement } from "./management/management.ts";
import { openOperatorRoutes } from "./management/operator-routes.ts";
import { startOfflineSpecs } from "./offline-specs.ts";
import { startProfiling } from "./profiling.ts";
import { startServing } from "./serving.ts";
import { type RunningSpecs, startSpecs } from "./specs.ts";
import { startStatus } from "./status.ts";
import { type RunningTelemetry, startTelemetry, startTracing } from "./telemetry.ts";
import { openUpstream } from "./upstream.ts";
import { WarmUp } from "./warm-up/warm-up.ts";

interface RelayPorts {
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Uncaught errors of the process, if the relay owns it. */
  readonly faults?: ProcessFaults;
  /** Starts a thread that runs serving/serve.ts; the default is a Worker. */
  readonly startThread?: () => ThreadEnd;
}

/** A relay that serves. */
export interface Relay extends AsyncDisposable {
  readonly listeners: readonly ListenerAddress[];
  readonly supervisor: Supervisor;
  /** Applies the reloadable options of a new configuration, and reads certificates and files of SDK keys again. Cannot fail. */
  reconfigure(config: Config): void;
  /** Becomes unready, in the probes of every protocol, and ends profiles. Everything else is served as before. Calling it again is harmless. */
  stopping(): void;
  /** Becomes unready, ends streams, finishes requests in flight for at most the grace period, and then frees all resources. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Time for the last writes to a backup if requests in flight used up the grace period. */
const LAST_WRITES_MS = 500;

/** Wires all parts together and starts them. Throws a ListenError if a port, and a StartError if a file cannot be used. */
export async function startRelay(
  config: Config,
  { logger, clock = systemClock, faults, startThread }: RelayPorts,
): Promise<Relay> {
  // Disposed last, so that metrics and traces of the shutdown itself are exported.
  await using monitoring = new AsyncDisposableStack();
  await using starting = new AsyncDisposableStack();
  const health = new Health();
  const telemetry = monitoring.use(await startTelemetry(config, { logger, clock }));
  const { registry, supervisor, sinks } = telemetry;
  const parts = { clock, supervisor, telemetry };

  // A certificate that cannot be used fails the start before any part that stores or serves.
  const certificates = starting.use(openCertificates(config, parts));
  const access = starting.use(startAccess(config, parts));
  telemetry.keys.knownBy((sdkKey) => access.admission.isKnown(sdkKey));
  const tracing = await startTracing(config, { ...parts, registry, sinks, running: monitoring });
  const backup = starting.use(openBackup(config, { ...parts, allowList: access.allowList }));
  const upstream = openUpstream(config, { ...parts, tracing });
  const fetching = { ...parts, backup, access, tracing, upstream, spacing: upstream.spacing };
  const specs = starting.use(await startSpecsOrOffline(config, fetching, starting));
  const idLists = starting.use(startIdLists(config, fetching));
  const events = starting.use(await startEvents(config, { ...parts, access, tracing }));

  const served = { specs, idLists, events, upstream };
  const serving = starting.use(
    await startServing(config, { ...parts, ...served, access, health, certificates, startThread }),
  );
  for (const { notReady } of [specs, idLists, serving]) health.require(notReady);
  const warmUp = config.warmUpJson && new WarmUp(config.warmUpJson, { specs, idLists, clock, logger });
  if (warmUp) health.require(() => warmUp.notReady());

  registerGauges(registry, config, { clock, health, serving, telemetry, ...served });
  const status = startStatus(config, { clock, health, telemetry, backup, serving, ...served });
  const operatorRoutes = openOperatorRoutes({ ...parts, ...served, backup, serving }, starting);
  const profiling = starting.use(startProfiling(config, { ...parts, specs }));
  const operated = { ...parts, health, status, operatorRoutes, profiler: profiling.profiler };
  const management = starting.use(startManagement(config, operated));
  health.become("serving");
  const manager = starting.use(
    await startServiceManager(config, { ...parts, logger, notReady: () => health.notReady() }),
  );
  // From here on an uncaught error is reported and the relay continues: the other tasks are rarely affected.
  faults?.reportTo((kind, error) => supervisor.caught(kind, error));

  const [running, exporting] = [starting.move(), monitoring.move()];
  let { shutdownGraceMs } = config;
  const stopping = () => {
    if (health.phase === "draining") return;
    health.become("draining");
    manager?.stopping();
    for (const part of [serving, profiling]) part.stopping();
  };
  return {
    listeners: [...serving.addresses, ...management.addresses],
    supervisor,
    stopping,
    reconfigure(next) {
      manager?.reloading();
      ({ shutdownGraceMs } = next);
      // Access comes first: an SDK key that is no longer allowed must not be polled again.
      backup?.reconfigure?.(next);
      const reloaded = [access, upstream, specs, idLists, serving, status, management];
      for (const part of reloaded) part.reconfigure(next);
      certificates?.checkNow();
      manager?.reloaded();
    },
    async [Symbol.asyncDispose]() {
      stopping();
      using grace = new ShutdownGrace(shutdownGraceMs, clock);
      events.drain();
      await grace.unlessOver(serving.close());
      await events.flush(grace.over);
      // A backup that hangs gets the rest of the grace period.
      await withTimeout(running.disposeAsync(), Math.max(LAST_WRITES_MS, grace.leftMs), clock);
      await exporting.disposeAsync();
    },
  };
}

/** `starting` is what the files are disposed of with. */
async function startSpecsOrOffline(
  config: Config,
  parts: Omit<Parameters<typeof startSpecs>[1], "bootstrap">,
  starting: AsyncDisposableStack,
): Promise<RunningSpecs> {
  const bootstrap = starting.use(await openBootstrap(config, parts));
  return config.bootstrap.offline && bootstrap !== undefined
    ? startOfflineSpecs(config, { ...parts, bootstrap })
    : startSpecs(config, { ...parts, bootstrap });
}

interface TlsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<RunningTelemetry, "tls">;
}

/** Returns undefined if no port uses TLS. Throws a StartError if a certificate file cannot be used. */
function openCertificates({ tls }: Config, { telemetry, ...parts }: TlsParts): CertificateWatch | undefined {
  if (tls === undefined) return undefined;
  try {
    return new CertificateWatch(tls, { ...parts, emit: telemetry.tls.emit });
  } catch (error) {
    throw error instanceof CertificateError ? new StartError(error.message) : error;
  }
}

/** Returns undefined if no service manager started the relay. Loaded only then: most relays do not need it. */
async function startServiceManager(
  { serviceManager }: Config,
  ports: ServiceManagerPorts,
): Promise<ServiceManager | undefined> {
  if (serviceManager === undefined) return undefined;
  const { ServiceManager } = await import("../telemetry/systemd.ts");
  return new ServiceManager(serviceManager, ports);
}
