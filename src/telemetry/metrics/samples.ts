/** The maximum number of latencies that a series keeps between two drains. If there are more, they are sampled at random. */
export const MAX_SAMPLES = 100;

/** A number of measurements, and the ones that are kept. */
export interface Sampled {
  /** The number of measurements. */
  readonly count: number;
  /** All of them, or a random sample in which each has the same probability. */
  readonly samples: readonly number[];
}

/** Returns a sample of both: each measurement is kept with the same probability, whichever side it comes from. */
export function mergeSamples(one: Sampled, other: Sampled): number[] {
  const size = one.samples.length + other.samples.length;
  if (size <= MAX_SAMPLES && isComplete(one) && isComplete(other)) return [...one.samples, ...other.samples];
  const [left, right] = [new Draws(one), new Draws(other)];
  return Array.from({ length: Math.min(size, MAX_SAMPLES) }, () => {
    const isLeft = Math.random() * (left.undrawn + right.undrawn) < left.undrawn;
    const side = isLeft ? left : right;
    // A side can have fewer samples than it should, but never makes the result smaller.
    return (side.hasSamples ? side : isLeft ? right : left).draw();
  });
}

function isComplete({ count, samples }: Sampled): boolean {
  return samples.length === count;
}

/** Draws from the measurements of one side without replacement. */
class Draws {
  readonly #samples: number[];
  /** Measurements that were not drawn yet, those that are not among the samples included. */
  undrawn: number;

  constructor({ count, samples }: Sampled) {
    this.#samples = [...samples];
    this.undrawn = count;
  }

  get hasSamples(): boolean {
    return this.#samples.length > 0;
  }

  draw(): number {
    const at = Math.floor(Math.random() * this.#samples.length);
    const [drawn = 0] = this.#samples.splice(at, 1);
    this.undrawn = Math.max(0, this.undrawn - 1);
    return drawn;
  }
}
