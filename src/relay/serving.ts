import { startWorker } from "#runtime/threads.ts";
import { redactSecrets } from "../access/redact.ts";
import type { Config } from "../config/config.ts";
import { countServingThreads, threadKindOf } from "../config/groups/listeners.ts";
import { StartError } from "../config/settings.ts";
import { answerWith } from "../control/calls.ts";
import { DataPlane } from "../control/data-plane.ts";
import { ListenRefused, type ThreadEnd } from "../control/serving-thread.ts";
import type { ServingThreads } from "../control/serving-threads.ts";
import { availableCores } from "../platform/cores.ts";
import { SharedCount } from "../platform/shared-count.ts";
import type { CertificateWatch } from "../server/certificate-watch.ts";
import { allocateCounts, type ThreadsOfPorts } from "../serving/counts.ts";
import type {
  Protocol,
  ServingSettings,
  ServingSetup,
  SharedMemory,
  SharedPort,
} from "../serving/messages.ts";
import { MessageLimit } from "../streams/message-limit.ts";
import { StreamLimit } from "../streams/stream-limit.ts";
import type { RunningAccess } from "./access.ts";
import type { RunningIdLists } from "./id-lists.ts";
import type { Health, NotReadyReasons } from "./lifecycle.ts";
import { type ListenerAddress, lowerLimits, ReservedPorts } from "./listening.ts";
import type { RunningEvents } from "./log-events.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface ServingParts {
  readonly access: Pick<RunningAccess, "allowList">;
  readonly health: Health;
  readonly telemetry: RunningTelemetry;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly events: RunningEvents;
  /** Undefined if no port uses TLS. */
  readonly certificates: CertificateWatch | undefined;
  /** Starts a thread that runs serving/serve.ts. */
  readonly startThread: (() => ThreadEnd) | undefined;
}

/** The threads that serve clients. */
export interface RunningServing extends Disposable {
  readonly addresses: readonly ListenerAddress[];
  /** The number of open connections of each port. */
  connections(): readonly (readonly [protocol: string, count: number])[];
  /** Returns a reason for each port that no thread serves, or that has reached its limit of connections. */
  readonly notReady: NotReadyReasons;
  /** Resolves when clients get what was published before, or after a second if a thread does not reply. */
  reach(): Promise<void>;
  /** The number of requests in flight, on all ports. */
  requestsInFlight(): number;
  readonly streamLimit: StreamLimit;
  readonly messageLimit: MessageLimit;
  /** Applies new limits, and the log level. */
  reconfigure(config: Config): void;
  /** Health checks of every thread are NOT_SERVING from now on, also while this thread is busy. */
  stopping(): void;
  /** Stops accepting connections, and ends streams. Resolves when nothing is in flight any more. */
  close(): Promise<void>;
}

const REACH_WITHIN_MS = 1_000;

const TLS_PROTOCOLS: readonly Protocol[] = ["https", "grpcs"];

const startServingWorker = (): ThreadEnd =>
  startWorker(new URL("../serving/serving-worker.ts", import.meta.url));

/** Opens every port of the configuration on its threads. Throws a ListenError if one cannot be opened, or a StartError. */
export async function startServing(given: Config, parts: ServingParts): Promise<RunningServing> {
  const { telemetry, certificates } = parts;
  using reserved = new ReservedPorts(given.listeners);
  const { ports } = reserved;
  const places = planPlaces(given, ports);
  const config = { ...given, limits: lowerLimits(given, places.length, telemetry.limits.emit) };
  const shared = allocateShared(places.length);
  let settings = readSettings(config);
  const common = { ...readSetup(config, parts), shared, threads: countThreads(places) };
  const tls = () =>
    config.tls && certificates && { settings: pickTls(config.tls), certificates: certificates.current };
  const setups = places.map((place) => () => {
    // No other thread needs the private key.
    const usesTls = place.ports.some(({ protocol }) => TLS_PROTOCOLS.includes(protocol));
    return { ...common, ...place, settings, tls: usesTls ? tls() : undefined };
  });
  const plane = openDataPlane(parts, setups, shared);
  // Also while the threads start: they began with the ones of then.
  certificates?.onReplaced((next) =>
    plane.threads.broadcast({ kind: "certificates", certificates: next }, TLS_PROTOCOLS),
  );
  using starting = new DisposableStack();
  starting.use(plane);
  await startThreads(plane.threads, reserved);
  starting.move();
  telemetry.registry.collectFrom(() => plane.collectCounts());
  const { connections, requestsInFlight, streamLimit } = readCounts(config, shared, ports);
  const messageLimit = new MessageLimit(settings.maxGrpcMessageBytes);
  const { maxConnections } = config.limits;
  return {
    ...{ addresses: ports, connections, requestsInFlight, streamLimit, messageLimit },
    reach: () => plane.reach(REACH_WITHIN_MS),
    notReady: () => [
      ...ports
        .filter(({ protocol }) => !plane.threads.isServed(protocol))
        .map(({ protocol }) => `no thread serves the ${protocol} port`),
      ...connections()
        .filter(([, count]) => count >= maxConnections)
        .map(([protocol]) => `the ${protocol} port has reached its limit of connections`),
    ],
    reconfigure(next) {
      settings = readSettings(next);
      streamLimit.setMax(settings.maxStreams);
      messageLimit.setMax(settings.maxGrpcMessageBytes);
      telemetry.rpc.messageLimitChanged();
      plane.threads.broadcast({ kind: "settings", settings });
    },
    stopping: () => plane.threads.broadcast({ kind: "stopping" }),
    close: () => plane.threads.drain(),
    [Symbol.dispose]: () => plane[Symbol.dispose](),
  };
}

type Place = Pick<ServingSetup, "name" | "slot" | "ports">;

/** The slot of the control plane, which counts nothing itself and reads the totals. */
const CONTROL_SLOT = 0;

/**
 * Plans the threads. HTTP/1.1 without TLS has threads of its own: a client that keeps an HTTP/2 session or TLS busy does not delay
 * what most SDKs request.
 */
function planPlaces({ servingThreads }: Config, ports: readonly SharedPort[]): readonly Place[] {
  const perKind = countServingThreads(servingThreads, availableCores());
  const byKind = Map.groupBy(ports, ({ protocol }) => threadKindOf(protocol));
  return [...byKind]
    .flatMap(([kind, served]) =>
      Array.from({ length: perKind }, (_, at) => ({ name: `${kind}-${at + 1}`, ports: served })),
    )
    .map((place, at) => ({ ...place, slot: CONTROL_SLOT + 1 + at }));
}

function countThreads(places: readonly Place[]): ThreadsOfPorts {
  const of = (protocol: Protocol) =>
    places.filter(({ ports }) => ports.some((port) => port.protocol === protocol)).length;
  return { http: of("http"), https: of("https"), grpc: of("grpc"), grpcs: of("grpcs") };
}

function allocateShared(threads: number): SharedMemory {
  const slots = threads + 1;
  const beats = new SharedArrayBuffer(slots * Int32Array.BYTES_PER_ELEMENT);
  return { beats, counts: allocateCounts(slots) };
}

function readSettings({ limits, maxStreams, logging }: Config): ServingSettings {
  const { maxConcurrentRequests, maxGrpcMessageBytes, connectionAge } = limits;
  // Per-request events are only logged at level debug.
  const isDebug = logging.level === "debug";
  return { maxConcurrentRequests, maxStreams, maxGrpcMessageBytes, connectionAge, isDebug };
}

function readSetup(config: Config, { idLists, telemetry, events }: ServingParts) {
  const { limits, access, hostname, grpcReadyPercent } = config;
  const { isPushing, maxSeries } = telemetry.registry;
  return {
    ...{ limits, hostname, grpcReadyPercent },
    corsOrigins: access.corsOrigins,
    idLists: idLists.settings,
    metrics: { isPushing, maxSeries },
    logEvents: { maxBodyBytes: events.intake.maxBodyBytes, relayId: events.intake.relayId },
  };
}

/** The configuration holds the passphrase of the key as well, which no thread needs. */
function pickTls({ minVersion, requireClientCert, clientNames }: NonNullable<Config["tls"]>) {
  return { minVersion, requireClientCert, clientNames };
}

function openDataPlane(
  { access, health, telemetry, specs, idLists, events, startThread = startServingWorker }: ServingParts,
  setups: readonly (() => ServingSetup)[],
  shared: SharedMemory,
): DataPlane {
  const readProbeState = async () => ({
    isStarted: health.phase !== "starting",
    notReady: health.notReady(),
  });
  return new DataPlane({
    ...{ setups, startThread, shared, telemetry, store: specs.store, allowList: access.allowList },
    calls: answerWith({
      specs: specs.query,
      idLists: idLists.service,
      events: events.intake,
      readProbeState,
    }),
    emit: telemetry.serving.emit,
    onFault: (task, error) => telemetry.supervisor.reported(task, error),
  });
}

/** Throws a ListenError if a thread could not open a port, and a StartError if one did not start at all. */
async function startThreads(threads: ServingThreads, reserved: ReservedPorts): Promise<void> {
  try {
    await threads.start();
  } catch (error) {
    if (!(error instanceof ListenRefused)) {
      const detail = redactSecrets((error as Error).message);
      throw new StartError(
        `a serving thread did not start: ${detail} (give the relay more memory, or lower --serving-threads)`,
      );
    }
    const { protocol, code, message } = error.failure;
    // Not of the system: a wrong address is found when the port is reserved.
    if (code === undefined) throw new Error(`cannot open the ${protocol} port: ${message}`);
    throw reserved.toListenError(protocol, Object.assign(new Error(message), { code }));
  }
}

function readCounts(
  { maxStreams, grpcReadyPercent }: Config,
  shared: SharedMemory,
  ports: readonly SharedPort[],
) {
  const count = (name: keyof SharedMemory["counts"]) => new SharedCount(shared.counts[name], CONTROL_SLOT);
  const requests = count("requests_in_flight");
  const open = ports.map(({ protocol }) => [protocol, count(`${protocol}_connections`)] as const);
  return {
    connections: () => open.map(([protocol, { value }]) => [protocol, value] as const),
    requestsInFlight: () => requests.value,
    streamLimit: new StreamLimit(maxStreams, grpcReadyPercent, count("streams")),
  };
}
