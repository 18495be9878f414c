/** Bodies of requests while they come, and until their requests are answered. */
export interface IncomingBodiesOptions {
  /** In memory at one time. */
  readonly maxBytes: number;
  /** Of which the end has not come. */
  readonly maxArriving: number;
}

/** What a body takes up; given back when it is disposed of. */
export interface BodyShare extends Disposable {
  /** False if there is no room for so many bytes more, or it was disposed of. Nothing is taken then. */
  take(bytes: number): boolean;
  /** It has come as a whole. */
  arrived(): void;
}

/**
 * Bounds what bodies of requests take up, of all clients together. Where there is no room the body gives way that has
 * been coming for longest: clients that never end their requests must not take the place of those that do.
 */
export class IncomingBodies {
  readonly #options: IncomingBodiesOptions;
  readonly #arriving = new Set<() => void>();
  #bytes = 0;

  constructor(options: IncomingBodiesOptions) {
    this.#options = options;
  }

  /** `giveWay` is called when the body is to be read no further: it takes up nothing any more. */
  open(giveWay: () => void): BodyShare {
    let taken = 0;
    let isOver = false;
    const release = () => {
      isOver = true;
      this.#arriving.delete(evict);
      this.#bytes -= taken;
      taken = 0;
    };
    const evict = () => {
      release();
      giveWay();
    };
    if (this.#arriving.size >= this.#options.maxArriving) this.#evictOldest(evict);
    this.#arriving.add(evict);
    return {
      take: (bytes) => {
        if (isOver) return false;
        while (this.#bytes + bytes > this.#options.maxBytes) if (!this.#evictOldest(evict)) return false;
        this.#bytes += bytes;
        taken += bytes;
        return true;
      },
      arrived: () => void this.#arriving.delete(evict),
      [Symbol.dispose]: release,
    };
  }

  /** Of all but `except`; false if there is no other. */
  #evictOldest(except: () => void): boolean {
    for (const evict of this.#arriving) {
      if (evict === except) continue;
      evict();
      return true;
    }
    return false;
  }
}
