import { HealthWatch } from "../grpc/health-watch.ts";
import type { HttpHandler } from "../http/handler.ts";
import type { RpcCalls } from "../http/routes/rpc.ts";
import type { Clock } from "../platform/clock.ts";
import { ThreadCalls, type ThreadChannel } from "../platform/thread-channel.ts";
import { InFlight } from "../server/limits.ts";
import { ServerTls } from "../server/tls.ts";
import { freeReplacedVersions } from "../specs/versions/replaced-versions.ts";
import { MessageLimit } from "../streams/message-limit.ts";
import { FeedFinder } from "../streams/requested-feed.ts";
import { SpecStreams } from "../streams/spec-stream.ts";
import { StreamBodies } from "../streams/stream-bodies.ts";
import { StreamLimit } from "../streams/stream-limit.ts";
import { type ControlPlane, connectControlPlane } from "./control-plane.ts";
import { ServingCounts } from "./counts.ts";
import { Listeners } from "./listeners.ts";
import type { ControlCalls, FromServing, ServingSettings, ServingSetup, ToServing } from "./messages.ts";
import { Reports } from "./reports.ts";
import type { Rpcs } from "./rpcs.ts";
import { SpecReplica } from "./spec-replica.ts";

type Channel = ThreadChannel<FromServing, ToServing>;

/** How often the control plane is shown that the event loop runs. */
const BEAT_EVERY_MS = 250;

/** What one thread serves clients with: its replica of the store, the request handlers, and the listeners. */
export class Serving {
  readonly reports: Reports;
  readonly #setup: ServingSetup;
  readonly #clock: Clock;
  readonly #channel: Channel;
  readonly #calls: ThreadCalls<ControlCalls>;
  readonly #control: ControlPlane;
  readonly #replica: SpecReplica;
  readonly #counts: ServingCounts;
  readonly #inFlight: InFlight;
  readonly #streamLimit: StreamLimit;
  readonly #messageLimit: MessageLimit;
  readonly #finder: FeedFinder;
  readonly #streams: SpecStreams;
  readonly #health: HealthWatch;
  readonly #bodies: StreamBodies;
  readonly #tls: ServerTls | undefined;
  readonly #listeners: Listeners;
  #rpcs: Promise<Rpcs> | undefined;
  #listening: Promise<void> | undefined;

  constructor(setup: ServingSetup, channel: Channel, clock: Clock) {
    const { shared, slot, threads, settings } = setup;
    const send = (message: FromServing) => channel.send(message);
    this.#setup = setup;
    this.#channel = channel;
    this.#calls = new ThreadCalls((call, moved) => channel.send(call, moved));
    this.#control = connectControlPlane(this.#calls, setup, (sdkKey) => this.#replica.store.holds(sdkKey));
    this.#replica = new SpecReplica({ report: send, ask: (feed) => this.#control.ask(feed) });
    const { store } = this.#replica;
    const isHttps = setup.ports.every(({ protocol }) => protocol !== "http");
    this.reports = new Reports({ ...setup, isHttps, clock, send, holds: (sdkKey) => store.holds(sdkKey) });
    const { emitLimit, emitTls } = this.reports;
    this.#counts = new ServingCounts(shared.counts, slot, threads);
    const [requests, streams] = [this.#counts.of("requests_in_flight"), this.#counts.of("streams")];
    this.#inFlight = new InFlight(settings.maxConcurrentRequests, requests, emitLimit);
    this.#streamLimit = new StreamLimit(settings.maxStreams, setup.grpcReadyPercent, streams);
    this.#messageLimit = new MessageLimit(settings.maxGrpcMessageBytes);
    this.#finder = new FeedFinder(this.#replica, this.#inFlight);
    this.#streams = new SpecStreams({
      ...{ finder: this.#finder, limit: this.#streamLimit, clock, emit: this.reports.emitRpc },
    });
    this.#health = new HealthWatch({
      ...{ check: () => this.#isServing(), open: this.#counts.of("health_watches"), clock, emit: emitLimit },
    });
    this.#bodies = new StreamBodies(this.#streams);
    this.#tls = setup.tls && new ServerTls({ ...setup.tls, emit: emitTls });
    this.#clock = clock;
    this.#listeners = new Listeners({
      ...{ setup, counts: this.#counts, tls: this.#tls, emitLimit },
      loadRpcs: () => this.#loadRpcs(),
      createHandler: () => this.#createHandler(),
    });
    freeReplacedVersions(store);
    store.listen({ confirmed: (held) => this.#listeners.handler?.updateConfirmed(held) });
    const beats = new Int32Array(shared.beats);
    setInterval(() => Atomics.add(beats, slot, 1), BEAT_EVERY_MS).unref();
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
        this.#listening = this.#listen();
        return;
      case "settings":
        this.#apply(message.settings);
        return;
      case "certificates":
        this.#tls?.replace(message.certificates);
        return;
      case "collect":
        this.reports.sendCounts(true);
        // The control plane waits for it.
        this.#channel.flush();
        return;
      case "stopping":
        this.#health.stopping();
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
    // A port that opens after that would take the connections that no other thread accepts any more.
    await this.#listening;
    await this.#listeners.close();
    this.reports.sendCounts(false);
    this.#channel.send({ kind: "drained" });
  }

  #apply(settings: ServingSettings): void {
    this.#inFlight.setMax(settings.maxConcurrentRequests);
    this.#streamLimit.setMax(settings.maxStreams);
    this.#messageLimit.setMax(settings.maxGrpcMessageBytes);
    this.#listeners.setConnectionAge(settings.connectionAge);
    this.reports.setDebug(settings.isDebug);
    this.#listeners.handler?.setRequestListener(this.reports.emitHttp);
  }

  #loadRpcs(): Promise<Rpcs> {
    this.#rpcs ??= this.#createRpcs().catch((error: unknown) => {
      // The next call tries again.
      this.#rpcs = undefined;
      throw error;
    });
    return this.#rpcs;
  }

  async #createRpcs(): Promise<Rpcs> {
    const { createRpcs } = await import("./rpcs.ts");
    return createRpcs({
      service: {
        finder: this.#finder,
        streams: this.#streams,
        messageLimit: this.#messageLimit,
        hostname: this.#setup.hostname,
        emit: this.reports.emitRpc,
        onSdk: (headers) => this.reports.countGrpcSdk(headers),
        onFault: (error) => this.reports.fault("rpc", error),
      },
      health: this.#health,
      bodies: this.#bodies,
    });
  }

  async #loadRpcCalls(): Promise<RpcCalls> {
    const [{ openRpcCalls }, { routes, webStreams }] = await Promise.all([
      import("../http/routes/rpc-calls.ts"),
      this.#loadRpcs(),
    ]);
    return openRpcCalls(routes, webStreams);
  }

  async #createHandler(): Promise<HttpHandler> {
    const { HttpHandler } = await import("../http/handler.ts");
    const { BodyBudget, MAX_ARRIVING_BODIES, MAX_BODIES_BYTES } = await import("../http/request-body.ts");
    const { limits, corsOrigins, idLists } = this.#setup;
    return new HttpHandler({
      query: this.#replica,
      streams: this.#bodies,
      idLists: this.#control.idLists,
      idListSettings: idLists,
      intake: this.#control.events,
      readProbeState: () => this.#control.probeState(),
      loadRpcs: () => this.#loadRpcCalls(),
      clock: this.#clock,
      limits,
      inFlight: this.#inFlight,
      bodyBudget: new BodyBudget({
        bytes: this.#counts.budget("body_bytes", MAX_BODIES_BYTES),
        arriving: this.#counts.budget("arriving_bodies", MAX_ARRIVING_BODIES),
      }),
      corsOrigins,
      emitLimit: this.reports.emitLimit,
      meter: this.reports.requests,
      onFault: (error) => this.reports.fault("http_request", error),
      emit: this.reports.emitHttp,
    });
  }

  async #isServing(): Promise<boolean> {
    const { notReady } = await this.#control.probeState();
    return notReady.length === 0 && this.#streamLimit.hasRoom;
  }
}
