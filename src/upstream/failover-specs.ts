import { LRUCache } from "lru-cache";
import type { Clock, Instant } from "../platform/clock.ts";
import { type Feed, feedId } from "../specs/feed.ts";
import type { FetchedPayload, FetchOutcome, HeldVersion, SpecSource } from "../specs/source.ts";
import { type Answer, askInTurn } from "./ask-in-turn.ts";
import type { EndpointMember, UpstreamEndpoints } from "./endpoints.ts";
import { judgeFailure, summarizeFailures } from "./failover.ts";

interface EndpointSpecs {
  readonly member: EndpointMember;
  readonly source: SpecSource;
}

interface FailoverSpecsOptions {
  readonly endpoints: UpstreamEndpoints;
  /** One source for each endpoint. */
  readonly openSource: (member: EndpointMember) => SpecSource;
  readonly clock: Clock;
  /** The age from which a relay's last confirmation counts as too old, in ms. */
  readonly staleAfterMs: () => number;
}

type SpecsAnswer = Answer<EndpointSpecs, FetchOutcome>;

/** An endpoint whose payload of a feed was refused is asked last for this feed for this time. */
const REFUSED_MS = 60_000;
/** The same for one whose payload was older than what is held: that may change at any time. */
const OLDER_MS = 1_000;
/** More feeds with refused payloads than this are not remembered. */
const MAX_REFUSED = 10_000;

/**
 * Fetches config specs from the first endpoint that has them (docs/protocol.md, Several endpoints). A poll asks one endpoint after
 * the other; a first request asks the next one as well if one is silent. Only the preferred endpoint can reject an SDK key. An
 * endpoint that lags behind what is held confirms nothing.
 */
export class FailoverSpecs implements SpecSource {
  readonly #options: FailoverSpecsOptions;
  readonly #sources: ReadonlyMap<EndpointMember, EndpointSpecs>;
  readonly #refused: LRUCache<string, Set<EndpointMember>>;

  constructor(options: FailoverSpecsOptions) {
    this.#options = options;
    this.#sources = new Map(
      options.endpoints.members.map((member) => [member, { member, source: options.openSource(member) }]),
    );
    const perf = { now: () => options.clock.elapsed() };
    this.#refused = new LRUCache({ max: MAX_REFUSED, ttl: REFUSED_MS, perf, ttlResolution: 0 });
  }

  async fetchSpecs(
    feed: Feed,
    held: HeldVersion,
    signal: AbortSignal,
    progressed: () => void = () => {},
  ): Promise<FetchOutcome> {
    const { endpoints, clock } = this.#options;
    if (!endpoints.areSeveral)
      return this.#ask(this.#sourceOf(endpoints.inUse), feed, held, signal, progressed);
    for (const member of endpoints.takeTries()) void this.#try(this.#sourceOf(member), feed, held, signal);
    const isFirst = held.lcut === 0;
    const answers = await askInTurn(this.#order(feed), {
      ask: (specs, ended, sign) =>
        this.#ask(specs, feed, held, ended, () => {
          sign();
          progressed();
        }),
      isFinal: ({ by, outcome }) => this.#isFinal(by, outcome, held),
      hedge: isFirst ? ({ member }) => endpoints.hedgeAfterMs(member) : undefined,
      clock,
      signal,
    });
    return this.#conclude(answers, feed, held);
  }

  #sourceOf(member: EndpointMember): EndpointSpecs {
    return this.#sources.get(member) as EndpointSpecs;
  }

  /** Endpoints whose payload of the feed was refused come last. */
  #order(feed: Feed): readonly EndpointSpecs[] {
    const refused = this.#refused.get(feedId(feed));
    const isRefused = (member: EndpointMember) => Number(refused?.has(member) ?? false);
    const order = [...this.#options.endpoints.order()].sort((a, b) => isRefused(a) - isRefused(b));
    return order.map((member) => this.#sourceOf(member));
  }

  /** Finds out whether an endpoint that is not in use works. What it sends is not used. */
  async #try(specs: EndpointSpecs, feed: Feed, held: HeldVersion, signal: AbortSignal): Promise<void> {
    // Rejects only on shutdown.
    await this.#ask(specs, feed, held, signal, () => {}).catch(() => {});
  }

  async #ask(
    { member, source }: EndpointSpecs,
    feed: Feed,
    held: HeldVersion,
    signal: AbortSignal,
    progressed: () => void,
  ): Promise<FetchOutcome> {
    const { endpoints, clock } = this.#options;
    const startedAt = clock.elapsed();
    let hasBegun = false;
    const outcome = await source.fetchSpecs(feed, held, signal, () => {
      if (!hasBegun) member.health.responded(clock.elapsed() - startedAt);
      hasBegun = true;
      progressed();
    });
    const useless = judgeFailure(outcome);
    if (useless === undefined) endpoints.succeeded(member, this.#lags(outcome, held));
    else endpoints.failed(member, useless);
    return outcome;
  }

  #isFinal({ member }: EndpointSpecs, outcome: FetchOutcome, held: HeldVersion): boolean {
    switch (outcome.kind) {
      case "payload":
        return !this.#lags(outcome, held);
      case "no_update":
        return held.lcut > 0 && !this.#lags(outcome, held);
      case "unauthorized":
        return member.isPreferred;
      case "refused":
      case "failed":
        return false;
    }
  }

  /** Returns whether the endpoint is behind what is held, or is a relay that has heard nothing from its upstream for long. */
  #lags(outcome: FetchOutcome, held: HeldVersion): boolean {
    if (held.lcut === 0 || !this.#options.endpoints.areSeveral) return false;
    switch (outcome.kind) {
      case "payload":
        return (outcome.raw.headerLcut ?? held.lcut) < held.lcut;
      case "no_update":
        if ((outcome.lcut ?? held.lcut) < held.lcut) return true;
        return outcome.relayed !== undefined && this.#isStale(outcome.relayed.confirmed);
      default:
        return false;
    }
  }

  #isStale(confirmed: Instant | undefined): boolean {
    const { clock, staleAfterMs } = this.#options;
    return confirmed === undefined || clock.elapsed() - confirmed.elapsed > staleAfterMs();
  }

  /** Returns what the answers come to. If one is final, it is the last. */
  #conclude(answers: readonly SpecsAnswer[], feed: Feed, held: HeldVersion): FetchOutcome {
    const last = answers.at(-1);
    if (last !== undefined && this.#isFinal(last.by, last.outcome, held))
      return last.outcome.kind === "payload" ? this.#name(last.outcome, last.by, feed) : last.outcome;
    const lagging = answers.filter(({ outcome }) => this.#lags(outcome, held));
    if (lagging.length > 0) return this.#concludeLagging(lagging, held);
    return summarizeFailures(answers);
  }

  /** The relay has the newest version that any endpoint knows, but none confirms it, or not lately. */
  #concludeLagging(answers: readonly SpecsAnswer[], held: HeldVersion): FetchOutcome {
    const confirmed = answers.flatMap(({ outcome }) => {
      const isSame = outcome.kind === "no_update" && (outcome.lcut ?? held.lcut) >= held.lcut;
      return isSame && outcome.relayed?.confirmed ? [outcome.relayed.confirmed] : [];
    });
    const [latest] = confirmed.sort((a, b) => b.elapsed - a.elapsed);
    return { kind: "no_update", relayed: { source: "upstream", confirmed: latest } };
  }

  #name(outcome: FetchedPayload, { member }: EndpointSpecs, feed: Feed): FetchedPayload {
    const { endpoints } = this.#options;
    return {
      ...outcome,
      host: member.host,
      refuse: (reason, detail) => {
        const lags = reason === "older";
        if (lags) endpoints.succeeded(member, true);
        else endpoints.refused(member, { cause: "refused", detail });
        const refused = this.#refused.get(feedId(feed)) ?? new Set();
        // If it was already asked last, the others had nothing better.
        const isNew = !refused.has(member);
        this.#refused.set(feedId(feed), refused.add(member), { ttl: lags ? OLDER_MS : REFUSED_MS });
        return isNew;
      },
    };
  }
}
