import type { Clock } from "../../clock.ts";
import type { Feed } from "../../specs/feed.ts";
import { type RelayEvent, type Topics, tell } from "../relay-event.ts";
import { BackupMemory } from "./backup-memory.ts";
import { FlowMemory } from "./flow-memory.ts";
import { PollMemory } from "./poll-memory.ts";

/** Remembers of what happens as much as an operator asks for: the last of each, and since when. */
export class StatusBoard {
  readonly polls: PollMemory;
  readonly backup: BackupMemory;
  readonly flow: FlowMemory;
  readonly #topics: Topics;

  constructor(clock: Clock, preload: readonly Feed[]) {
    const polls = new PollMemory(clock, preload);
    const backup = new BackupMemory(clock);
    const flow = new FlowMemory(clock);
    this.polls = polls;
    this.backup = backup;
    this.flow = flow;
    this.#topics = {
      specs: (event) => polls.write(event),
      backups: (event) => backup.write(event),
      guard: (event) => flow.writeGuard(event),
      logEvents: (event) => flow.writeLogEvents(event),
      sinks: (event) => flow.writeSinks(event),
      supervision: (event) => flow.writeSupervision(event),
      // Counted, not remembered.
      rpcs: () => undefined,
      requests: () => undefined,
      idLists: () => undefined,
    };
  }

  write(event: RelayEvent): void {
    tell(event, this.#topics);
  }
}
