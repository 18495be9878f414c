/** A random generator whose sequence depends on its seed alone. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Returns an integer from 0 to `end` - 1. */
  below(end: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * end);
  }

  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  /** Returns a copy with a few bytes changed, removed, inserted or repeated. */
  mutate(bytes: Buffer): Buffer {
    let mutated = Buffer.from(bytes);
    for (let times = this.below(6); times >= 0; times--) {
      const at = this.below(mutated.length + 1);
      const [before, after] = [mutated.subarray(0, at), mutated.subarray(at)];
      const change = this.pick<() => Buffer>([
        () => Buffer.concat([before, this.bytes(1), after.subarray(1)]),
        () => Buffer.concat([before, after.subarray(this.below(8))]),
        () => Buffer.concat([before, this.bytes(this.below(8)), after]),
        () => Buffer.concat([before, after.subarray(0, this.below(64)), after]),
        () => Buffer.concat([before, this.pick(ODD_PARTS), after]),
        () => before,
      ]);
      mutated = Buffer.from(change());
    }
    return mutated;
  }
}

const ODD_PARTS: readonly [Buffer, ...Buffer[]] = [
  Buffer.from("\r\n"),
  Buffer.from("\r\n\r\n"),
  Buffer.from(":"),
  Buffer.from("\0"),
  Buffer.from("%00%ff%2e%2e%2f"),
  Buffer.from("99999999999999999999"),
  Buffer.from([0xff, 0xff, 0xff, 0xff]),
  Buffer.from("é🎈\u{fffd}"),
  Buffer.alloc(300, "a"),
];
