import type { Config } from "../config/config.ts";
import type { LimitsConfig } from "../config/limits.ts";
import type { ListenerConfig } from "../config/listeners.ts";
import { StartError } from "../config/settings.ts";
import { GrpcListener } from "../grpc/listener.ts";
import { type RpcRoutes, rpcRoutes } from "../grpc/routes.ts";
import { SpecService } from "../grpc/spec-service.ts";
import { StreamLimit } from "../grpc/stream-limit.ts";
import { HttpHandler } from "../http/handler.ts";
import { HttpListener } from "../http/http-listener.ts";
import { HttpsListener } from "../http/https-listener.ts";
import { ManagementListener } from "../http/management.ts";
import type { Probes } from "../http/routes/probes.ts";
import type { Clock } from "../platform/clock.ts";
import { describeErrno, EXIT_FAILED, UserError } from "../platform/errors.ts";
import type { Supervisor } from "../platform/supervisor.ts";
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
  readonly answers: Pick<RequestHandlers, "http" | "routes" | "specService">;
}

export interface RunningListeners extends AsyncDisposable {
  readonly addresses: readonly ListenerAddress[];
  /** Open connections of each listener. */
  connections(): readonly (readonly [protocol: string, count: number])[];
  /** The ports that take no more connections, in words; none where all do. */
  readonly notReady: NotReadyReasons;
  /** Takes no more connections, ends streams; resolves when nothing is in flight any more. */
  close(): Promise<void>;
}

interface Listener {
  readonly port: number;
  /** Connections open now. */
  readonly connections: number;
  close(): Promise<void>;
  abort(): void | Promise<void>;
}

/** Opens every port that the configuration asks for. Throws a ListenError where one can't be had, or a StartError. */
export async function startListeners(given: Config, parts: ListenerParts): Promise<RunningListeners> {
  const config = { ...given, limits: limitsFor(given, parts.telemetry.limits.emit) };
  await using starting = new AsyncDisposableStack();
  const listeners: Listener[] = [];
  const addresses: ListenerAddress[] = [];
  for (const { protocol, option, bindAddress, port, listen } of wanted(config, parts)) {
    const listener = await listenOrExplain(option, port, bindAddress, () => listen(bindAddress, port));
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
        .map(({ protocol }) => `the ${protocol} port has as many connections as it may`),
    close: async () => {
      parts.answers.http.endStreams();
      await Promise.all(listeners.map((listener) => listener.close()));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface WantedListener extends ListenerConfig {
  readonly listen: (bindAddress: string, port: number) => Listener | Promise<Listener>;
}

/** Below it a default that the system does not allow is worth a warning. */
const FEW_CONNECTIONS = 1_000;

/** As many connections as are configured, or as the system has descriptors for. Throws a StartError if those are too few. */
function limitsFor(config: Config, emit: EmitLimitEvent): LimitsConfig {
  const ports = (config.mode === "grpc-and-http" ? 2 : 1) * (config.tls?.plaintextToo === true ? 2 : 1);
  const { limits } = config;
  const descriptors = descriptorLimit();
  const allowed = connectionsAllowed(limits.maxConnections, ports, descriptors);
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

function wanted(config: Config, parts: ListenerParts): readonly WantedListener[] {
  const { limits } = config;
  const { tls, telemetry } = parts;
  const { emit: emitLimit } = telemetry.limits;
  const { http: answers, routes, specService } = parts.answers;
  const { idleTimeoutMs } = limits;
  const grpc = (secure: ServerTls | undefined) => (bindAddress: string, port: number) =>
    GrpcListener.listen({
      bindAddress,
      port,
      tls: secure,
      limits,
      idleTimeoutMs,
      emitLimit,
      routes,
      specService,
    });
  const secure = (protocol: string): ServerTls => {
    if (tls === undefined) throw new Error(`no certificate for ${protocol}`);
    return tls;
  };
  const open: Record<ListenerConfig["protocol"], WantedListener["listen"]> = {
    http: (bindAddress, port) =>
      new HttpListener({ bindAddress, port, handler: answers, ...limits, emitLimit }),
    https: (bindAddress, port) =>
      HttpsListener.listen({
        ...{ bindAddress, port, tls: secure("https"), answers, limits, idleTimeoutMs, emitLimit },
      }),
    grpc: grpc(undefined),
    grpcs: (bindAddress, port) => grpc(secure("grpcs"))(bindAddress, port),
  };
  return config.listeners.map((listener) => ({ ...listener, listen: open[listener.protocol] }));
}

interface AnswerParts {
  readonly clock: Clock;
  readonly health: Health;
  readonly telemetry: RunningTelemetry;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly events: RunningEvents;
}

/** What clients are answered, whatever port they ask on. */
export interface RequestHandlers {
  readonly http: HttpHandler;
  readonly routes: RpcRoutes;
  readonly specService: SpecService;
  readonly probes: Probes;
  readonly inFlight: InFlight;
  readonly admission: StreamLimit;
  /** Takes over other bounds, and whether somebody watches single requests. */
  reconfigure(config: Config): void;
}

export function createHandlers(config: Config, parts: AnswerParts): RequestHandlers {
  const { clock, health, telemetry, specs, idLists, events } = parts;
  const { supervisor } = telemetry;
  const emitLimit = telemetry.limits.emit;
  const inFlight = new InFlight(config.limits.maxInFlight, emitLimit);
  const admission = new StreamLimit(config.maxStreams);
  const { hostname, limits } = config;
  const specService = new SpecService({
    query: specs.query,
    admission,
    inFlight,
    clock,
    hostname,
    emit: telemetry.rpc.emit,
    onFault: (error) => supervisor.caught("rpc", error),
  });
  const routes = rpcRoutes({
    specService,
    isServing: () => health.notReady().length === 0 && admission.hasRoom,
  });
  const probes: Probes = {
    started: () => health.phase !== "starting",
    notReady: () => health.notReady(),
  };
  // Events of single requests are only emitted at debug level: they cost time even if no line is written.
  const watcherOf = ({ logging }: Config) => (logging.level === "debug" ? telemetry.http.emit : undefined);
  const http = new HttpHandler({
    query: specs.query,
    idLists: idLists.service,
    intake: events.intake,
    probes,
    routes,
    limits,
    inFlight,
    corsOrigins: config.access.corsOrigins,
    emitLimit,
    meter: telemetry.http,
    onFault: (error) => supervisor.caught("http_request", error),
    emit: watcherOf(config),
  });
  specs.store.listen({ confirmed: (held) => http.confirmed(held) });
  return {
    ...{ http, routes, specService, probes, inFlight, admission },
    reconfigure(next) {
      inFlight.limitTo(next.limits.maxInFlight);
      admission.limitTo(next.maxStreams);
      http.watch(watcherOf(next));
    },
  };
}

interface ManagementParts {
  readonly probes: Probes;
  /** In the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  /** How the relay is, as JSON. */
  readonly status: () => Promise<string>;
  readonly telemetry: Pick<Telemetry, "limits">;
  readonly supervisor: Supervisor;
  /** Owns what is started. */
  readonly running: AsyncDisposableStack;
}

/** Opens the management port. Throws a ListenError where it can't be had. */
export async function startManagement(
  { management }: Config,
  { probes, metrics, status, telemetry, supervisor, running }: ManagementParts,
): Promise<readonly ListenerAddress[]> {
  if (management === undefined) return [];
  const { bindAddress, port } = management;
  const onFault = (error: unknown) => supervisor.caught("http_request", error);
  const { emit: emitLimit } = telemetry.limits;
  const listen = () =>
    new ManagementListener({ bindAddress, port, probes, metrics, status, emitLimit, onFault });
  const listener = running.use(await listenOrExplain("management-port", port, bindAddress, listen));
  return [{ protocol: "management", bindAddress, port: listener.port }];
}

/** A port can't be had; the message is one line for people. */
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

/** A URL by which a client on this machine reaches the listener. */
export function localUrl({ protocol, bindAddress, port }: ListenerAddress): string {
  const everywhere = bindAddress === "::" || bindAddress === "0.0.0.0";
  const host = everywhere ? "localhost" : bindAddress.includes(":") ? `[${bindAddress}]` : bindAddress;
  const scheme = protocol === "https" || protocol === "grpcs" ? "https" : "http";
  return `${scheme}://${host}:${port}`;
}

/** Starts a listener; what the system says against it becomes a {@link ListenError} that names the option. */
async function listenOrExplain<T>(
  option: string,
  port: number,
  bindAddress: string,
  listen: () => T | Promise<T>,
): Promise<T> {
  try {
    return await listen();
  } catch (error) {
    throw new ListenError(
      `cannot listen on --${option} ${port} of --bind-address ${bindAddress}: ${describeErrno(error, LISTEN_MESSAGES)}`,
    );
  }
}

const NO_ADDRESS = "this machine has no such address";

/** What the system says when a port cannot be opened. */
const LISTEN_MESSAGES = {
  EADDRINUSE: "the port is in use",
  EACCES: "no permission for this port",
  EADDRNOTAVAIL: NO_ADDRESS,
  ENOTFOUND: NO_ADDRESS,
  ENOTTY: NO_ADDRESS,
  EINVAL: NO_ADDRESS,
};
