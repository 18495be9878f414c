const NEWLINE = 0x0a;
const PLUS = 0x2b;
const MINUS = 0x2d;

/** The bytes are no ID list. */
export class GarbageLine extends Error {}

/** Looks at a file as it comes by: every line begins with `+` or `-` (WIRE 4). */
export class LineCheck {
  #seen: number;
  #wholeLines: number;
  #before = NEWLINE;

  /** `from` is where in the file the bytes begin; a line does, too. */
  constructor(from: number) {
    this.#seen = from;
    this.#wholeLines = from;
  }

  /** Bytes up to the last line that is whole. */
  get wholeLines(): number {
    return this.#wholeLines;
  }

  /** Throws {@link GarbageLine}. */
  see(chunk: Uint8Array): void {
    let before = this.#before;
    let last = -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (before === NEWLINE && byte !== PLUS && byte !== MINUS) {
        throw new GarbageLine(`the line at byte ${this.#seen + at} begins with neither + nor -`);
      }
      if (byte === NEWLINE) last = at;
      before = byte;
    }
    if (last >= 0) this.#wholeLines = this.#seen + last + 1;
    this.#before = before;
    this.#seen += chunk.length;
  }
}
