import { type Clock, systemClock, within } from "./clock.ts";
import type { Config } from "./config.ts";
import { Grace } from "./grace.ts";
import { GrpcListener } from "./grpc/grpc-listener.ts";
import { rpcRoutes } from "./grpc/routes.ts";
import { SpecService } from "./grpc/spec-service.ts";
import { StreamAdmission } from "./grpc/stream-admission.ts";
import { Health } from "./health.ts";
import { HttpListener } from "./http/http-listener.ts";
import { type ListenerAddress, listenOrExplain } from "./listen.ts";
import { openBackup } from "./relay-backup.ts";
import { startEvents } from "./relay-events.ts";
import { startIdLists } from "./relay-id-lists.ts";
import { startSpecs } from "./relay-specs.ts";
import { EventLog } from "./telemetry/event-log.ts";
import type { Logger } from "./telemetry/logger.ts";

export interface RelayPorts {
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** A relay that serves. */
export interface Relay extends AsyncDisposable {
  readonly listeners: readonly ListenerAddress[];
  /** Not ready at once, ends streams, finishes requests in flight, at most for the grace; then frees everything. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Streams beyond the admitted ones must reach the service, which answers them RESOURCE_EXHAUSTED. */
const SPARE_STREAMS = 100;

/** After a grace that requests in flight used up. */
const LAST_WRITES_MS = 500;

/** Puts the relay together and starts it. Throws {@link ListenError} where a port can't be had. */
export async function startRelay(
  config: Config,
  { logger, clock = systemClock }: RelayPorts,
): Promise<Relay> {
  await using starting = new AsyncDisposableStack();
  const health = new Health();
  const eventLog = new EventLog(logger, clock);
  const emit = eventLog.write.bind(eventLog);
  const backup = await openBackup(config, { clock, emit, running: starting });
  const specs = starting.use(startSpecs(config, { clock, emit, backup }));
  health.require(specs.notReady);
  const idLists = starting.use(startIdLists(config, { clock, emit, backup }));
  const events = starting.use(await startEvents(config, { clock, emit }));

  const admission = new StreamAdmission(config.maxStreams);
  const { hostname } = config;
  const specService = new SpecService({ query: specs.query, admission, clock, hostname, emit });
  const routes = rpcRoutes({
    specService,
    isServing: () => health.phase === "serving" && admission.hasRoom,
  });

  const listeners: ListenerAddress[] = [];
  const closing: Closing[] = [];
  if (config.mode !== "grpc") {
    const http = await listenOrExplain("http-port", config.httpPort, config.bindAddress, () => {
      const probes = { started: () => health.phase !== "starting", notReady: () => health.notReady() };
      const { bindAddress, httpPort: port, debugLogging } = config;
      const watch = debugLogging ? emit : undefined;
      return new HttpListener({
        bindAddress,
        port,
        query: specs.query,
        idLists: idLists.service,
        intake: events.intake,
        probes,
        routes,
        emit: watch,
      });
    });
    starting.defer(() => http.abort());
    listeners.push({ protocol: "http", bindAddress: config.bindAddress, port: http.port });
    closing.push(http);
  }
  if (config.mode !== "http") {
    const grpc = await listenOrExplain("grpc-port", config.grpcPort, config.bindAddress, () => {
      const maxStreamsPerConnection = config.maxStreams + SPARE_STREAMS;
      const { bindAddress, grpcPort: port } = config;
      return GrpcListener.listen({ bindAddress, port, maxStreamsPerConnection, routes, specService });
    });
    starting.defer(() => grpc.abort());
    listeners.push({ protocol: "grpc", bindAddress: config.bindAddress, port: grpc.port });
    closing.push(grpc);
  }
  health.become("serving");

  const running = starting.move();
  return {
    listeners,
    async [Symbol.asyncDispose]() {
      health.become("draining");
      const graceEndsAt = clock.now() + config.shutdownGraceMs;
      events.hurry();
      using grace = new Grace(config.shutdownGraceMs, clock);
      await closeWithin(grace.over, closing);
      await events.flush(grace.over);
      // A backup that hangs has what is left of the grace, or a moment for the last writes.
      await within(clock, Math.max(LAST_WRITES_MS, graceEndsAt - clock.now()), running.disposeAsync());
    },
  };
}

interface Closing {
  /** Resolves when nothing is in flight any more. */
  close(): Promise<void>;
}

async function closeWithin(graceOver: AbortSignal, listeners: readonly Closing[]): Promise<void> {
  const over = Promise.withResolvers<void>();
  graceOver.addEventListener("abort", () => over.resolve());
  await Promise.race([Promise.all(listeners.map((listener) => listener.close())), over.promise]);
}
