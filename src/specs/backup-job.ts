import type { Feed } from "./feed.ts";

export interface Job {
  readonly feed: Feed;
  readonly kind: "write" | "remove";
  /** A removal was still to be done when it came: what the backup has may be newer, and is not to be kept. */
  readonly removesFirst?: boolean;
}

export type WaitingJob = readonly [id: string, job: Job];

const afterwards = (earlier: Job | undefined, job: Job): Job =>
  earlier?.kind === "remove" || earlier?.removesFirst ? { ...job, removesFirst: true } : job;

/** Of each feed the newest job that waits; none is given out while another of its feed is being done. */
export class BackupJobs {
  readonly #waiting = new Map<string, Job>();
  readonly #underway = new Set<string>();

  get size(): number {
    return this.#waiting.size;
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Something of the feed waits or is being done. */
  isBusy(id: string): boolean {
    return this.#waiting.has(id) || this.#underway.has(id);
  }

  add(id: string, job: Job): void {
    this.#waiting.set(id, afterwards(this.#waiting.get(id), job));
  }

  /** The one that waits for longest, until {@link done} or {@link putBack}. */
  take(): WaitingJob | undefined {
    for (const [id, job] of this.#waiting) {
      if (this.#underway.has(id)) continue;
      this.#waiting.delete(id);
      this.#underway.add(id);
      return [id, job];
    }
    return undefined;
  }

  done(id: string): void {
    this.#underway.delete(id);
  }

  /** It could not be done. */
  putBack(id: string, job: Job): void {
    this.#underway.delete(id);
    const newer = this.#waiting.get(id);
    this.#waiting.set(id, newer === undefined ? job : afterwards(job, newer));
  }
}
