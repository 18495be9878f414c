import type { Config } from "../config/config.ts";
import type { LimitsConfig } from "../config/groups/limits.ts";
import type { ListenerConfig } from "../config/groups/listeners.ts";
import { StartError } from "../config/settings.ts";
import { GrpcListener } from "../grpc/listener.ts";
import { type RpcRoutes, rpcRoutes } from "../grpc/routes.ts";
import { SpecService } from "../grpc/spec-service.ts";
import { StreamLimit } from "../grpc/stream-limit.ts";
import { HttpHandler } from "../http/handler.ts";
import { HttpListener } from "../http/http-listener.ts";
import { HttpsListener } from "../http/https-listener.ts";
import { ManagementListener } from "../http/management.ts";
import { BodyBudget, MAX_ARRIVING_BODIES, MAX_BODIES_BYTES } from "../http/request-body.ts";
import type { Probes } from "../http/routes/probes.ts";
import type { Clock } from "../platform/clock.ts";
import { describeErrno, EXIT_FAILED, UserError } from "../platform/errors.ts";
import { SharedBudget } from "../platform/shared-budget.ts";
import { SharedCount } from "../platform/shared-count.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { Http2Counts } from "../server/http2-server.ts";
import { MAX_ARRIVING_REQUESTS } from "../server/http2-streams.ts";
import { connectionsAllowed, descriptorLimit, type EmitLimitEvent, InFlight } from "../server/limits.ts";
import type { ServerTls } from "../server/tls.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { RunningIdLists } from "./id-lists.ts";
import type { Health, NotReadyReasons } from "./lifecycle.ts";
import type { RunningEvents } from "./log-events.ts";
import type { RunningSpecs } from "./specs.ts";
import type { RunningTelemetry } from "./telemetry.ts";

interface ListenerParts {
  readonly clock: Clock;
  readonly telemetry: Pick<Telemetry, "limits">;
  readonly tls: ServerTls | undefined;
  readonly handlers: Pick<RequestHandlers, "http" | "routes" | "specService">;
}

export interface RunningListeners extends AsyncDisposable {
  readonly addresses: readonly ListenerAddress[];
  /** The number of open connections of each listener. */
  connections(): readonly (readonly [protocol: string, count: number])[];
  /** Returns a reason for each port that has reached its limit of connections. */
  readonly notReady: NotReadyReasons;
  /** Stops accepting connections, and ends streams. Resolves when nothing is in flight any more. */
  close(): Promise<void>;
}

interface Listener {
  readonly port: number;
  /** The number of open connections. */
  readonly connections: number;
  close(): Promise<void>;
  abort(): void | Promise<void>;
}

/** Opens every port of the configuration. Throws a ListenError if one cannot be opened, or a StartError. */
export async function startListeners(given: Config, parts: ListenerParts): Promise<RunningListeners> {
  const config = { ...given, limits: lowerLimits(given, parts.telemetry.limits.emit) };
  await using starting = new AsyncDisposableStack();
  const listeners: Listener[] = [];
  const addresses: ListenerAddress[] = [];
  for (const { protocol, option, bindAddress, port, listen } of toListeners(config, parts)) {
    const listener = await listenOrThrow(option, port, bindAddress, () => listen(bindAddress, port));
    starting.defer(() => listener.abort());
    listeners.push(listener);
    addresses.push({ protocol, bindAddress, port: listener.port });
  }
  const running = starting.move();
  return {
    addresses,
    connections: () =>
      addresses.map(({ protocol }, at) => [protocol, listeners[at]?.connections ?? 0] as const),
    notReady: () =>
      addresses
        .filter((_, at) => (listeners[at]?.connections ?? 0) >= config.limits.maxConnections)
        .map(({ protocol }) => `the ${protocol} port has reached its limit of connections`),
    close: async () => {
      parts.handlers.http.endStreams();
      await Promise.all(listeners.map((listener) => listener.close()));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface ConfiguredListener extends ListenerConfig {
  readonly listen: (bindAddress: string, port: number) => Listener | Promise<Listener>;
}

/** A default limit that had to be lowered below this is worth a warning. */
const FEW_CONNECTIONS = 1_000;

/** Lowers `maxConnections` to what the system's limit of open files allows. Throws a StartError if that is too few. */
function lowerLimits(config: Config, emit: EmitLimitEvent): LimitsConfig {
  const { limits } = config;
  const descriptors = descriptorLimit();
  const allowed = connectionsAllowed(limits.maxConnections, config.listeners.length, descriptors);
  switch (allowed.kind) {
    case "as_wanted":
      return limits;
    case "lowered": {
      const { connections } = allowed;
      if (limits.isMaxConnectionsGiven || connections < FEW_CONNECTIONS)
        emit({ kind: "connections_lowered", connections, descriptors });
      return { ...limits, maxConnections: connections };
    }
    case "too_few":
      throw new StartError(
        `the system allows ${descriptors} open files, and the relay needs ${allowed.needed}: ` +
          "raise the limit (ulimit -n; LimitNOFILE= with systemd; --ulimit nofile= with Docker)",
      );
  }
}

function toListeners(config: Config, parts: ListenerParts): readonly ConfiguredListener[] {
  const { limits } = config;
  const { tls, telemetry } = parts;
  const { emit: emitLimit } = telemetry.limits;
  const { http: handler, routes, specService } = parts.handlers;
  const { idleTimeoutMs } = limits;
  const reusePort = false;
  const grpc = (secure: ServerTls | undefined) => (bindAddress: string, port: number) =>
    GrpcListener.listen({
      ...{ bindAddress, port, reusePort, tls: secure, limits, counts: portCounts() },
      ...{ idleTimeoutMs, emitLimit, routes, specService },
    });
  const secure = (protocol: string): ServerTls => {
    if (tls === undefined) throw new Error(`no certificate for ${protocol}`);
    return tls;
  };
  const open: Record<ListenerConfig["protocol"], ConfiguredListener["listen"]> = {
    http: (bindAddress, port) =>
      new HttpListener({
        ...{ bindAddress, port, reusePort, handler, ...limits, connections: new SharedCount(), emitLimit },
      }),
    https: (bindAddress, port) =>
      HttpsListener.listen({
        ...{ bindAddress, port, reusePort, tls: secure("https"), handler, limits, counts: portCounts() },
        ...{ idleTimeoutMs, emitLimit },
      }),
    grpc: grpc(undefined),
    grpcs: (bindAddress, port) => grpc(secure("grpcs"))(bindAddress, port),
  };
  return config.listeners.map((listener) => ({ ...listener, listen: open[listener.protocol] }));
}

/** Counts of a port that one thread serves. */
function portCounts(): Http2Counts {
  return { connections: new SharedCount(), arrivingRequests: ownBudget(MAX_ARRIVING_REQUESTS) };
}

const ownBudget = (max: number) => new SharedBudget({ max, threads: 1, common: new SharedCount() });

interface HandlerParts {
  readonly clock: Clock;
  readonly health: Health;
  readonly telemetry: RunningTelemetry;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly events: RunningEvents;
}

/** The handlers of client requests, shared by all ports. */
interface RequestHandlers {
  readonly http: HttpHandler;
  readonly routes: RpcRoutes;
  readonly specService: SpecService;
  readonly probes: Probes;
  readonly inFlight: InFlight;
  readonly streamLimit: StreamLimit;
  /** Applies new limits, and the log level. */
  reconfigure(config: Config): void;
}

export function createHandlers(config: Config, parts: HandlerParts): RequestHandlers {
  const { clock, health, telemetry, specs, idLists, events } = parts;
  const { supervisor } = telemetry;
  const emitLimit = telemetry.limits.emit;
  const inFlight = new InFlight(config.limits.maxConcurrentRequests, new SharedCount(), emitLimit);
  const streamLimit = new StreamLimit(config.maxStreams, config.grpcReadyPercent, new SharedCount());
  const { hostname, limits } = config;
  const specService = new SpecService({
    query: specs.query,
    streamLimit,
    inFlight,
    clock,
    hostname,
    emit: telemetry.rpc.emit,
    onFault: (error) => supervisor.caught("rpc", error),
  });
  const routes = rpcRoutes({
    specService,
    isServing: () => health.notReady().length === 0 && streamLimit.hasRoom,
  });
  const probes: Probes = {
    started: () => health.phase !== "starting",
    notReady: () => health.notReady(),
  };
  // Per-request events are only emitted at debug level.
  const requestListener = ({ logging }: Config) =>
    logging.level === "debug" ? telemetry.http.emit : undefined;
  const http = new HttpHandler({
    query: specs.query,
    idLists: idLists.service,
    intake: events.intake,
    probes,
    routes,
    limits,
    inFlight,
    bodyBudget: new BodyBudget({
      bytes: ownBudget(MAX_BODIES_BYTES),
      arriving: ownBudget(MAX_ARRIVING_BODIES),
    }),
    corsOrigins: config.access.corsOrigins,
    emitLimit,
    meter: telemetry.http,
    onFault: (error) => supervisor.caught("http_request", error),
    emit: requestListener(config),
  });
  specs.store.listen({ confirmed: (held) => http.updateConfirmed(held) });
  return {
    ...{ http, routes, specService, probes, inFlight, streamLimit },
    reconfigure(next) {
      inFlight.setMax(next.limits.maxConcurrentRequests);
      streamLimit.setMax(next.maxStreams);
      http.setRequestListener(requestListener(next));
    },
  };
}

interface RunningManagement extends Disposable {
  /** Empty if there is no management port. */
  readonly addresses: readonly ListenerAddress[];
}

interface ManagementParts {
  readonly probes: Probes;
  readonly status: { readonly read: () => Promise<string> };
  readonly telemetry: Pick<RunningTelemetry, "limits" | "prometheus">;
  readonly supervisor: Supervisor;
}

/** Opens the management port, if there is one. Throws a ListenError if it cannot be opened. */
export async function startManagement(
  { management }: Config,
  { probes, status, telemetry, supervisor }: ManagementParts,
): Promise<RunningManagement> {
  if (management === undefined) return { addresses: [], [Symbol.dispose]: () => {} };
  const { bindAddress, port } = management;
  const onFault = (error: unknown) => supervisor.caught("http_request", error);
  const { emit: emitLimit } = telemetry.limits;
  const listen = () =>
    new ManagementListener({
      ...{ bindAddress, port, probes, emitLimit, onFault },
      metrics: telemetry.prometheus,
      status: status.read,
    });
  const listener = await listenOrThrow("management-port", port, bindAddress, listen);
  return {
    addresses: [{ protocol: "management", bindAddress, port: listener.port }],
    [Symbol.dispose]: () => listener[Symbol.dispose](),
  };
}

/** A port cannot be opened. The message is one line for users. */
class ListenError extends UserError {
  constructor(message: string) {
    super(message, EXIT_FAILED);
  }
}

export interface ListenerAddress {
  readonly protocol: "http" | "https" | "grpc" | "grpcs" | "management";
  readonly bindAddress: string;
  readonly port: number;
}

/** Returns a URL by which a client on this machine reaches the listener. */
export function localUrl({ protocol, bindAddress, port }: ListenerAddress): string {
  const everywhere = bindAddress === "::" || bindAddress === "0.0.0.0";
  const host = everywhere ? "localhost" : bindAddress.includes(":") ? `[${bindAddress}]` : bindAddress;
  const scheme = protocol === "https" || protocol === "grpcs" ? "https" : "http";
  return `${scheme}://${host}:${port}`;
}

/** Starts a listener. A system error becomes a {@link ListenError} that names the option. */
async function listenOrThrow<T>(
  option: string,
  port: number,
  bindAddress: string,
  listen: () => T | Promise<T>,
): Promise<T> {
  try {
    return await listen();
  } catch (error) {
    throw new ListenError(
      `cannot listen on --${option} ${port} of --bind-address ${bindAddress}: ${describeListenError(error)}`,
    );
  }
}

const NO_ADDRESS = "this machine has no such address";

/** Bun gives no code for an address that does not resolve. */
function describeListenError(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? NO_ADDRESS : describeErrno(error, LISTEN_MESSAGES);
}

/** Messages for the errors with which opening a port fails. Bun and the resolver report a wrong address by several codes. */
const LISTEN_MESSAGES = {
  EADDRINUSE: "the port is in use",
  EACCES: "no permission for this port",
  EADDRNOTAVAIL: NO_ADDRESS,
  ENOTFOUND: NO_ADDRESS,
  ENOTTY: NO_ADDRESS,
  EINVAL: NO_ADDRESS,
};
