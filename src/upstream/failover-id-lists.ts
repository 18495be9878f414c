import type { SdkKey } from "../access/sdk-key.ts";
import type { ManifestOutcome, ManifestSource } from "../id-lists/manifest.ts";
import type { Clock } from "../platform/clock.ts";
import { askInTurn } from "./ask-in-turn.ts";
import type { EndpointMember, UpstreamEndpoints } from "./endpoints.ts";
import { judgeFailure, summarizeFailures } from "./failover.ts";

interface FailoverIdListsOptions {
  readonly endpoints: UpstreamEndpoints;
  /** Called once for each endpoint. */
  readonly openSource: (member: EndpointMember) => ManifestSource;
  readonly clock: Clock;
}

interface EndpointLists {
  readonly member: EndpointMember;
  readonly source: ManifestSource;
}

/**
 * Fetches manifests of ID lists from the first endpoint that has them, in the order of config specs. A manifest has no version, so
 * that a lagging endpoint cannot be recognized. Every request is hedged: it is small, and polls are rare.
 */
export class FailoverIdLists implements ManifestSource {
  readonly #options: FailoverIdListsOptions;
  readonly #sources: ReadonlyMap<EndpointMember, EndpointLists>;

  constructor(options: FailoverIdListsOptions) {
    this.#options = options;
    this.#sources = new Map(
      options.endpoints.members.map((member) => [member, { member, source: options.openSource(member) }]),
    );
  }

  async fetchManifest(sdkKey: SdkKey, signal: AbortSignal): Promise<ManifestOutcome> {
    const { endpoints, clock } = this.#options;
    const sourceOf = (member: EndpointMember) => this.#sources.get(member) as EndpointLists;
    if (!endpoints.areSeveral) return this.#ask(sourceOf(endpoints.inUse), sdkKey, signal);
    for (const member of endpoints.takeTries()) {
      // Finds out whether it works. Rejects only on shutdown.
      void this.#ask(sourceOf(member), sdkKey, signal).catch(() => {});
    }
    const answers = await askInTurn(endpoints.order().map(sourceOf), {
      ask: (lists, ended) => this.#ask(lists, sdkKey, ended),
      isFinal: ({ by, outcome }) => isFinal(by, outcome),
      hedge: ({ member }) => endpoints.hedgeAfterMs(member),
      clock,
      signal,
    });
    const last = answers.at(-1);
    return last !== undefined && isFinal(last.by, last.outcome) ? last.outcome : summarizeFailures(answers);
  }

  async #ask(
    { member, source }: EndpointLists,
    sdkKey: SdkKey,
    signal: AbortSignal,
  ): Promise<ManifestOutcome> {
    const { endpoints } = this.#options;
    const outcome = await source.fetchManifest(sdkKey, signal);
    const useless = judgeFailure(outcome);
    if (useless === undefined) endpoints.succeeded(member);
    else endpoints.failed(member, useless);
    return outcome;
  }
}

/** As for config specs, only the preferred endpoint can reject an SDK key. */
function isFinal({ member }: EndpointLists, { kind }: ManifestOutcome): boolean {
  return kind === "manifest" || (kind === "unauthorized" && member.isPreferred);
}
