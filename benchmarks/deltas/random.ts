import { randomHex } from "../project.ts";

const WORDS =
  "account address alert archive audit avatar badge banner basket beta billing browse cache campaign cart catalog chat checkout coupon credit currency dashboard delivery device discount email export feed filter footer gallery gift header history home image import index inbox invite invoice label language layout limit listing login loyalty map market menu message metric mobile network new notice offer onboarding order page partner password payment photo plan points popup price privacy product profile promo push quota rating reader refund region report request returns review reward rollout route sale scan schedule score search session share shipping signup sort stock storage store subscription support survey table tag target tax theme ticket timeline token tour trial update upload user video view visit voucher wallet warehouse widget wishlist worker zone".split(
    " ",
  );

const BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Generates the names and values of a project: the same ones for the same seed, on every machine. */
export class Random {
  readonly #hex: () => string;

  constructor(seed: number) {
    this.#hex = randomHex(seed);
  }

  /** Returns an integer that is less than `limit`. */
  below(limit: number): number {
    return Number.parseInt(this.#hex(), 16) % limit;
  }

  chance(share: number): boolean {
    return this.below(1_000) < share * 1_000;
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new Error("there is no value to pick");
    return value;
  }

  list<T>(length: number, make: () => T): T[] {
    return Array.from({ length }, make);
  }

  words(count: number, separator: string): string {
    return this.list(count, () => this.pick(WORDS)).join(separator);
  }

  /** Returns a text such as Statsig's salts. */
  uuid(): string {
    const digits = this.#hex() + this.#hex() + this.#hex() + this.#hex();
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  /** Returns a text such as Statsig's IDs of rules. */
  id(length = 22): string {
    return this.list(length, () => BASE_62.charAt(this.below(BASE_62.length))).join("");
  }
}
