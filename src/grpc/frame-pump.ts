/** Something that writes in small steps. */
export interface Writing {
  /** Writes one slice. Announces itself to the pump again when there is more to write. */
  writeSlice(): void;
}

/** How long the pump writes before it lets the event loop do other things, in ms. */
const TURN_MS = 10;

/**
 * Writes to many clients in turn, a slice each. An update for thousands of streams would otherwise block the event loop until all of it
 * has been written.
 */
export class FramePump {
  #ready: Writing[] = [];
  #isScheduled = false;

  /** Has `writing` write its next slice soon. Must not be called again before that. */
  add(writing: Writing): void {
    this.#ready.push(writing);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    const endAt = performance.now() + TURN_MS;
    const ready = this.#ready;
    this.#ready = [];
    let at = 0;
    while (at < ready.length && performance.now() < endAt) ready[at++]?.writeSlice();
    this.#ready = [...ready.slice(at), ...this.#ready];
    this.#isScheduled = this.#ready.length > 0;
    if (this.#isScheduled) setImmediate(() => this.#run());
  }
}
