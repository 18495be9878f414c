import { rpcRoutes } from "../grpc/routes.ts";
import { SpecService } from "../grpc/spec-service.ts";
import { StreamLimit } from "../grpc/stream-limit.ts";
import { HttpHandler } from "../http/handler.ts";
import { BodyBudget, MAX_ARRIVING_BODIES, MAX_BODIES_BYTES } from "../http/request-body.ts";
import type { Clock } from "../platform/clock.ts";
import { describeError } from "../platform/errors.ts";
import type { TaskName } from "../platform/supervisor.ts";
import { ThreadCalls, type ThreadChannel } from "../platform/thread-channel.ts";
import { InFlight, type LimitEvent } from "../server/limits.ts";
import { ServerTls } from "../server/tls.ts";
import { type ControlPlane, connectControlPlane } from "./control-plane.ts";
import { ServingCounts } from "./counts.ts";
import { Listeners } from "./listeners.ts";
import type { ControlCalls, FromServing, ServingSettings, ServingSetup, ToServing } from "./messages.ts";
import { SpecReplica } from "./spec-replica.ts";

type Channel = ThreadChannel<FromServing, ToServing>;

/** How often the control plane is shown that the event loop runs. */
const BEAT_EVERY_MS = 250;

/** What one thread serves clients with: its replica of the store, the request handlers, and the listeners. */
export class Serving {
  readonly #setup: ServingSetup;
  readonly #channel: Channel;
  readonly #calls: ThreadCalls<ControlCalls>;
  readonly #control: ControlPlane;
  readonly #replica: SpecReplica;
  readonly #counts: ServingCounts;
  readonly #inFlight: InFlight;
  readonly #streamLimit: StreamLimit;
  readonly #http: HttpHandler;
  readonly #tls: ServerTls | undefined;
  readonly #listeners: Listeners;

  constructor(setup: ServingSetup, channel: Channel, clock: Clock) {
    const { shared, slot, threads, settings, grpcReadyPercent } = setup;
    this.#setup = setup;
    this.#channel = channel;
    this.#calls = new ThreadCalls((call, moved) => channel.send(call, moved));
    this.#control = connectControlPlane(this.#calls, setup.maxEventBytes);
    this.#replica = new SpecReplica({
      clock,
      report: (use) => channel.send(use),
      ask: (feed) => this.#control.ask(feed),
    });
    this.#counts = new ServingCounts(shared.counts, slot, threads);
    const requests = this.#counts.of("requests_in_flight");
    this.#inFlight = new InFlight(settings.maxConcurrentRequests, requests, this.#emitLimit);
    const streams = this.#counts.of("streams");
    this.#streamLimit = new StreamLimit(settings.maxStreams, grpcReadyPercent, streams);
    this.#tls = setup.tls && new ServerTls({ ...setup.tls, emit: (event) => channel.send({ kind: "tls", event }) });
    const specService = this.#createSpecService(clock);
    const routes = rpcRoutes({ specService, isServing: () => this.#isServing() });
    this.#http = this.#createHandler(routes);
    this.#listeners = new Listeners({
      ...{ setup, counts: this.#counts, tls: this.#tls, handler: this.#http, routes, specService },
      emitLimit: this.#emitLimit,
    });
    this.#replica.store.listen({ confirmed: (held) => this.#http.updateConfirmed(held) });
    this.#beat();
  }

  receive(message: Exclude<ToServing, { kind: "set_up" }>): void {
    switch (message.kind) {
      case "published":
      case "confirmed":
      case "removed":
        this.#replica.apply(message);
        return;
      case "returned":
      case "threw":
        this.#calls.settle(message);
        return;
      case "listen":
        void this.#listen();
        return;
      case "settings":
        this.#apply(message.settings);
        return;
      case "certificates":
        this.#tls?.replace(message.certificates);
        return;
      case "collect":
        return;
      case "drain":
        void this.#drain();
    }
  }

  async #listen(): Promise<void> {
    const failure = await this.#listeners.listen();
    if (failure === undefined) this.#channel.send({ kind: "listening" });
    else this.#channel.send({ kind: "listen_failed", failure });
  }

  async #drain(): Promise<void> {
    await this.#listeners.close();
    this.#collect(undefined);
    this.#channel.send({ kind: "drained" });
  }

  #apply({ maxConcurrentRequests, maxStreams, isDebug }: ServingSettings): void {
    this.#inFlight.setMax(maxConcurrentRequests);
    this.#streamLimit.setMax(maxStreams);
    this.#http.setRequestListener(isDebug ? this.#emitHttp : undefined);
  }

  #createSpecService(clock: Clock): SpecService {
    return new SpecService({
      query: this.#replica,
      streamLimit: this.#streamLimit,
      inFlight: this.#inFlight,
      clock,
      hostname: this.#setup.hostname,
      emit: (event) => this.#rpcs.add(event),
      onFault: (error) => this.report("rpc", error),
    });
  }

  #createHandler(routes: RpcRoutes): HttpHandler {
    const { limits, corsOrigins, idLists, settings } = this.#setup;
    return new HttpHandler({
      query: this.#replica,
      idLists: this.#control.idLists,
      idListSettings: idLists,
      intake: this.#control.events,
      readProbeState: () => this.#control.probeState(),
      routes,
      limits,
      inFlight: this.#inFlight,
      bodyBudget: new BodyBudget({
        bytes: this.#counts.budget("body_bytes", MAX_BODIES_BYTES),
        arriving: this.#counts.budget("arriving_bodies", MAX_ARRIVING_BODIES),
      }),
      corsOrigins,
      emitLimit: this.#emitLimit,
      meter: this.#meter,
      onFault: (error) => this.report("http_request", error),
      emit: settings.isDebug ? this.#emitHttp : undefined,
    });
  }

  async #isServing(): Promise<boolean> {
    const { notReady } = await this.#control.probeState();
    return notReady.length === 0 && this.#streamLimit.hasRoom;
  }

  /** Reports an unexpected error, which the thread survives. */
  report(task: TaskName, error: unknown): void {
    this.#channel.send({ kind: "fault", task, error: describeError(error) });
  }
}
