import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { LimitsConfig } from "./config-limits.ts";
import { GrpcListener } from "./grpc/grpc-listener.ts";
import type { NotReadyReasons } from "./health.ts";
import { HttpListener } from "./http/http-listener.ts";
import { HttpsListener } from "./http/https-listener.ts";
import { connectionsAllowed, descriptorLimit } from "./limits/descriptors.ts";
import type { EmitLimitEvent } from "./limits/events.ts";
import { type ListenerAddress, listenOrExplain } from "./listen.ts";
import type { RelayAnswers } from "./relay-answers.ts";
import { StartError } from "./settings.ts";
import type { ServerTls } from "./tls/server-tls.ts";

export interface ListenerParts {
  readonly clock: Clock;
  readonly emit: EmitLimitEvent;
  readonly tls: ServerTls | undefined;
  readonly answers: Pick<RelayAnswers, "http" | "routes" | "specService">;
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
  const config = { ...given, limits: limitsFor(given, parts.emit) };
  await using starting = new AsyncDisposableStack();
  const listeners: Listener[] = [];
  const addresses: ListenerAddress[] = [];
  const { bindAddress } = config;
  for (const { protocol, option, port, listen } of wanted(config, parts)) {
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

interface WantedListener {
  readonly protocol: ListenerAddress["protocol"];
  readonly option: "http-port" | "https-port" | "grpc-port" | "grpcs-port";
  readonly port: number;
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
  const { mode, limits, tls: tlsConfig } = config;
  const { tls, emit: emitLimit } = parts;
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
  const found: WantedListener[] = [];
  const isPlaintext = tlsConfig === undefined || tlsConfig.plaintextToo;
  if (mode !== "grpc" && isPlaintext) {
    const listen = (bindAddress: string, port: number) =>
      new HttpListener({ bindAddress, port, handler: answers, ...limits, emitLimit });
    found.push({ protocol: "http", option: "http-port", port: config.httpPort, listen });
  }
  if (mode !== "grpc" && tls !== undefined && tlsConfig !== undefined) {
    const listen = (bindAddress: string, port: number) =>
      HttpsListener.listen({ bindAddress, port, tls, answers, limits, idleTimeoutMs, emitLimit });
    found.push({ protocol: "https", option: "https-port", port: tlsConfig.httpsPort, listen });
  }
  if (mode !== "http" && isPlaintext) {
    found.push({ protocol: "grpc", option: "grpc-port", port: config.grpcPort, listen: grpc(undefined) });
  }
  if (mode !== "http" && tls !== undefined && tlsConfig !== undefined) {
    found.push({ protocol: "grpcs", option: "grpcs-port", port: tlsConfig.grpcsPort, listen: grpc(tls) });
  }
  return found;
}
