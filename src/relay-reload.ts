import type { Config } from "./config.ts";
import type { RunningAccess } from "./relay-access.ts";
import type { RelayAnswers } from "./relay-answers.ts";
import type { RunningIdLists } from "./relay-id-lists.ts";
import type { RunningSpecs } from "./relay-specs.ts";
import type { RunningTelemetry } from "./relay-telemetry.ts";
import type { ServerTls } from "./tls/server-tls.ts";

export interface LiveParts {
  readonly access: RunningAccess;
  readonly specs: RunningSpecs;
  readonly idLists: RunningIdLists;
  readonly answers: RelayAnswers;
  readonly telemetry: Pick<RunningTelemetry, "board">;
  readonly tls: ServerTls | undefined;
}

/**
 * Each part takes over what of a configuration may change while it goes on: the options of the table that are live.
 * Nothing of this can fail, so that all is taken over or nothing.
 */
export function reconfigureParts(config: Config, parts: LiveParts): void {
  const { access, specs, idLists, answers, telemetry, tls } = parts;
  // First who may ask: what is no longer allowed must not be polled once more.
  access.reconfigure(config);
  const before = specs.preload;
  specs.reconfigure(config);
  const { polls } = telemetry.board;
  polls.preload(specs.preload);
  for (const feed of before) if (specs.store.peek(feed) === undefined) polls.forget(feed);
  idLists.reconfigure(config);
  answers.reconfigure(config);
  tls?.lookNow();
}
