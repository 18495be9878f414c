import { DIGEST_WORDS, SeenDigests } from "./seen-digests.ts";

/** Of each event of a batch its digest, {@link DIGEST_WORDS} words; all zero for what is no exposure. */
export type ExposureDigests = Uint32Array;

/**
 * Which exposures came before, in a bounded window. Asking and remembering are two steps: what the queue did not
 * take must not count as seen, or the SDK's next try would be taken for a repeat and lost.
 */
export class ExposureDedupe {
  readonly #seen: SeenDigests;

  constructor(limit: number) {
    this.#seen = new SeenDigests(limit);
  }

  get allocatedBytes(): number {
    return this.#seen.allocatedBytes;
  }

  /** Whether the event at this place is an exposure that was remembered. */
  isRepeat(digests: ExposureDigests, index: number): boolean {
    return !isNone(digests, index) && this.#seen.has(digests, index);
  }

  /** True where with these the whole window has been replaced once more. */
  remember(digests: ExposureDigests): boolean {
    const before = this.#seen.turns;
    for (let index = 0; index * DIGEST_WORDS < digests.length; index++) {
      if (!isNone(digests, index)) this.#seen.add(digests, index);
    }
    return this.#seen.turns > before;
  }
}

function isNone(digests: ExposureDigests, index: number): boolean {
  const at = index * DIGEST_WORDS;
  return digests[at] === 0 && digests[at + 1] === 0 && digests[at + 2] === 0 && digests[at + 3] === 0;
}
