import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import { type RpcRoutes, rpcRoutes } from "./grpc/routes.ts";
import { SpecService } from "./grpc/spec-service.ts";
import { StreamAdmission } from "./grpc/stream-admission.ts";
import type { Health } from "./health.ts";
import { HttpAnswers } from "./http/http-answers.ts";
import type { Probes } from "./http/probes.ts";
import { InFlight } from "./limits/in-flight.ts";
import type { RunningEvents } from "./relay-events.ts";
import type { RunningIdLists } from "./relay-id-lists.ts";
import type { RunningSpecs } from "./relay-specs.ts";
import type { RunningTelemetry } from "./relay-telemetry.ts";

export interface AnswerParts {
  readonly clock: Clock;
  readonly health: Health;
  readonly telemetry: RunningTelemetry;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly events: RunningEvents;
}

/** What clients are answered, whatever port they ask on. */
export interface RelayAnswers {
  readonly http: HttpAnswers;
  readonly routes: RpcRoutes;
  readonly specService: SpecService;
  readonly probes: Probes;
  readonly inFlight: InFlight;
  readonly admission: StreamAdmission;
  /** Takes over other bounds, and whether somebody watches single requests. */
  reconfigure(config: Config): void;
}

export function relayAnswers(config: Config, parts: AnswerParts): RelayAnswers {
  const { clock, health, telemetry, specs, idLists, events } = parts;
  const { emit, supervisor } = telemetry;
  const inFlight = new InFlight(config.limits.maxInFlight, emit);
  const admission = new StreamAdmission(config.maxStreams);
  const { hostname, limits } = config;
  const specService = new SpecService({
    query: specs.query,
    admission,
    inFlight,
    clock,
    hostname,
    emit,
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
  // Nobody pays for lines that are not written.
  const watcherOf = ({ logging }: Config) => (logging.level === "debug" ? emit : undefined);
  const http = new HttpAnswers({
    query: specs.query,
    idLists: idLists.service,
    intake: events.intake,
    probes,
    routes,
    limits,
    inFlight,
    corsOrigins: config.access.corsOrigins,
    emitLimit: emit,
    meter: telemetry.requests,
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
