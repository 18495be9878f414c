import type { Feed } from "./feed.ts";

/** `restore`: the backup lost what is held, and any relay that holds it may write it. */
export interface Job {
  readonly feed: Feed;
  readonly kind: "write" | "restore" | "remove";
  /** A removal was still to be done when it came: what the backup has may be newer, and is not to be kept. */
  readonly removesFirst?: boolean;
}

const afterwards = (earlier: Job | undefined, job: Job): Job =>
  earlier?.kind === "remove" || earlier?.removesFirst ? { ...job, removesFirst: true } : job;

/** Of each feed the newest job that waits. */
export class BackupJobs {
  readonly #waiting = new Map<string, Job>();

  get size(): number {
    return this.#waiting.size;
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  add(id: string, job: Job): void {
    this.#waiting.set(id, afterwards(this.#waiting.get(id), job));
  }

  /** It could not be done. */
  putBack(id: string, job: Job): void {
    const newer = this.#waiting.get(id);
    this.#waiting.set(id, newer === undefined ? job : afterwards(job, newer));
  }

  take(count: number): readonly (readonly [id: string, job: Job])[] {
    const taken = [...this.#waiting].slice(0, count);
    for (const [id] of taken) this.#waiting.delete(id);
    return taken;
  }
}
