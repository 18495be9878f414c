import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { LimitsConfig } from "./config-limits.ts";
import { GrpcListener } from "./grpc/grpc-listener.ts";
import { ConnectionGate } from "./http/connection-gate.ts";
import { HttpListener } from "./http/http-listener.ts";
import { HttpsListener } from "./http/https-listener.ts";
import { descriptorLimit, RESERVED_DESCRIPTORS } from "./limits/descriptors.ts";
import type { EmitLimitEvent } from "./limits/events.ts";
import { type ListenerAddress, listenOrExplain } from "./listen.ts";
import type { RelayAnswers } from "./relay-answers.ts";
import type { Supervisor } from "./supervision/supervisor.ts";
import type { ServerTls } from "./tls/server-tls.ts";

export interface ListenerParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitLimitEvent;
  readonly tls: ServerTls | undefined;
  readonly answers: Pick<RelayAnswers, "http" | "routes" | "specService">;
}

export interface RunningListeners extends AsyncDisposable {
  readonly addresses: readonly ListenerAddress[];
  /** Open connections of each listener. */
  connections(): Promise<readonly (readonly [protocol: string, count: number])[]>;
  /** Takes no more connections, ends streams; resolves when nothing is in flight any more. */
  close(): Promise<void>;
}

interface Listener {
  readonly port: number;
  /** Connections open now, where it knows. */
  readonly connections?: number;
  close(): Promise<void>;
  abort(): void | Promise<void>;
}

/** Opens every port that the configuration asks for. Throws a ListenError where one can't be had. */
export async function startListeners(given: Config, parts: ListenerParts): Promise<RunningListeners> {
  const config = { ...given, limits: limitsOf(given, parts.emit) };
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
  const gate = gateOf(listeners, config, parts);
  if (gate !== undefined) starting.use(gate);
  const running = starting.move();
  return {
    addresses,
    connections: () =>
      Promise.all(
        addresses.map(async ({ protocol }, at) => {
          return [protocol, listeners[at]?.connections ?? (await gate?.connections()) ?? 0] as const;
        }),
      ),
    close: async () => {
      await gate?.[Symbol.asyncDispose]();
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

/** As many as are configured, or as the system has descriptors for. */
function limitsOf(config: Config, emit: EmitLimitEvent): LimitsConfig {
  const ports = config.mode === "grpc-and-http" ? 2 : 1;
  const isBoth = config.tls?.plaintextToo === true;
  const descriptors = descriptorLimit();
  const room = Math.floor((descriptors - RESERVED_DESCRIPTORS) / (isBoth ? 2 * ports : ports));
  if (room >= config.limits.maxConnections) return config.limits;
  const maxConnections = Math.max(1, room);
  emit({ kind: "connections_lowered", connections: maxConnections, descriptors });
  return { ...config.limits, maxConnections };
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
      new HttpListener({ bindAddress, port, answers, idleTimeoutMs });
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

/** Undefined where every listener knows its connections. */
function gateOf(
  listeners: readonly Listener[],
  { limits: { maxConnections } }: Config,
  { clock, supervisor, emit }: ListenerParts,
): ConnectionGate | undefined {
  const gated = listeners.find((listener) => listener instanceof HttpListener);
  return gated && new ConnectionGate({ maxConnections, gated, clock, supervisor, emit });
}
