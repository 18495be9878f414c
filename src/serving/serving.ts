import type { RpcEvent } from "../grpc/events.ts";
import { type RpcRoutes, rpcRoutes } from "../grpc/routes.ts";
import { SpecService } from "../grpc/spec-service.ts";
import { StreamLimit } from "../grpc/stream-limit.ts";
import type { HttpHandler } from "../http/handler.ts";
import type { EmitHttpEvent } from "../http/observer.ts";
import type { Clock } from "../platform/clock.ts";
import { describeError } from "../platform/errors.ts";
import type { TaskName } from "../platform/supervisor.ts";
import { ThreadCalls, type ThreadChannel } from "../platform/thread-channel.ts";
import { type EmitLimitEvent, InFlight } from "../server/limits.ts";
import { ServerTls } from "../server/tls.ts";
import { freeReplacedVersions } from "../specs/replaced-versions.ts";
import { type ControlPlane, connectControlPlane } from "./control-plane.ts";
import { ServingCounts } from "./counts.ts";
import { ThreadEventBatch } from "./event-batch.ts";
import { Listeners } from "./listeners.ts";
import type { ControlCalls, FromServing, ServingSettings, ServingSetup, ToServing } from "./messages.ts";
import { RequestCounts } from "./request-counts.ts";
import { RpcCounts } from "./rpc-counts.ts";
import { SpecReplica } from "./spec-replica.ts";

type Channel = ThreadChannel<FromServing, ToServing>;

/** How often the control plane is shown that the event loop runs. */
const BEAT_EVERY_MS = 250;

/** What a thread counted within this time is lost if it dies. */
const SEND_COUNTS_EVERY_MS = 500;

/** What one thread serves clients with: its replica of the store, the request handlers, and the listeners. */
export class Serving {
  readonly #setup: ServingSetup;
  readonly #channel: Channel;
  readonly #calls: ThreadCalls<ControlCalls>;
  readonly #control: ControlPlane;
  readonly #replica: SpecReplica;
  readonly #events: ThreadEventBatch;
  readonly #counts: ServingCounts;
  readonly #requestCounts: RequestCounts;
  readonly #rpcCounts: RpcCounts;
  readonly #inFlight: InFlight;
  readonly #streamLimit: StreamLimit;
  readonly #tls: ServerTls | undefined;
  readonly #listeners: Listeners;
  #settings: ServingSettings;

  readonly #emitLimit: EmitLimitEvent = (event) => this.#events.add({ kind: "limit", event });
  readonly #emitHttp: EmitHttpEvent = (event) => this.#events.add({ kind: "http", event });

  constructor(setup: ServingSetup, channel: Channel, clock: Clock) {
    const { shared, slot, threads, settings, grpcReadyPercent } = setup;
    this.#setup = setup;
    this.#settings = settings;
    this.#channel = channel;
    this.#events = new ThreadEventBatch({ clock, send: (event) => channel.send(event) });
    this.#calls = new ThreadCalls((call, moved) => channel.send(call, moved));
    this.#control = connectControlPlane(this.#calls, setup);
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
    this.#tls =
      setup.tls && new ServerTls({ ...setup.tls, emit: (event) => this.#events.add({ kind: "tls", event }) });
    this.#requestCounts = new RequestCounts({
      ...setup.metrics,
      holds: (sdkKey) => this.#replica.store.holds(sdkKey),
    });
    const { isPushing } = setup.metrics;
    const emit = (event: RpcEvent) => this.#events.add({ kind: "rpc", event });
    this.#rpcCounts = new RpcCounts({ isPushing, isDebug: settings.isDebug, emit });
    const specService = this.#createSpecService(clock);
    const routes = rpcRoutes({ specService, isServing: () => this.#isServing() });
    this.#listeners = new Listeners({
      ...{ setup, counts: this.#counts, tls: this.#tls, routes, specService, emitLimit: this.#emitLimit },
      createHandler: () => this.#createHandler(routes),
    });
    freeReplacedVersions(this.#replica.store);
    this.#replica.store.listen({ confirmed: (held) => this.#listeners.handler?.updateConfirmed(held) });
    const beats = new Int32Array(shared.beats);
    setInterval(() => Atomics.add(beats, slot, 1), BEAT_EVERY_MS).unref();
    setInterval(() => this.#sendCounts(false), SEND_COUNTS_EVERY_MS).unref();
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
        this.#sendCounts(true);
        // The control plane waits for it.
        this.#channel.flush();
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
    this.#sendCounts(false);
    this.#channel.send({ kind: "drained" });
  }

  #sendCounts(isReply: boolean): void {
    this.#events.flush();
    const [requests, rpcs] = [this.#requestCounts.take(), this.#rpcCounts.take()];
    if (isReply || requests.length > 0 || rpcs.length > 0)
      this.#channel.send({ kind: "counted", requests, rpcs, isReply });
  }

  #apply(settings: ServingSettings): void {
    const { maxConcurrentRequests, maxStreams, isDebug } = settings;
    this.#settings = settings;
    this.#inFlight.setMax(maxConcurrentRequests);
    this.#streamLimit.setMax(maxStreams);
    this.#listeners.handler?.setRequestListener(isDebug ? this.#emitHttp : undefined);
    this.#rpcCounts.setDebug(isDebug);
  }

  #createSpecService(clock: Clock): SpecService {
    return new SpecService({
      query: this.#replica,
      streamLimit: this.#streamLimit,
      inFlight: this.#inFlight,
      clock,
      hostname: this.#setup.hostname,
      emit: (event) => this.#rpcCounts.add(event),
      onFault: (error) => this.report("rpc", error),
    });
  }

  async #createHandler(routes: RpcRoutes): Promise<HttpHandler> {
    const { HttpHandler } = await import("../http/handler.ts");
    const { BodyBudget, MAX_ARRIVING_BODIES, MAX_BODIES_BYTES } = await import("../http/request-body.ts");
    const { limits, corsOrigins, idLists } = this.#setup;
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
      meter: this.#requestCounts,
      onFault: (error) => this.report("http_request", error),
      emit: this.#settings.isDebug ? this.#emitHttp : undefined,
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
