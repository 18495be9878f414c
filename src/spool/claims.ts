import type { ClaimedEvents, ClaimLimits, QueueDepth } from "../log-events/queue.ts";
import { rowsFrom, type SpoolHead, type SpoolReply, type SpoolRows } from "./calls.ts";
import { type SpoolClient, SpoolError } from "./client.ts";
import { addDepths, type SpoolIndex, type WaitingRows } from "./spool-index.ts";

interface Claim {
  /** The rows that are not acknowledged yet. */
  readonly rows: SpoolRows;
  readonly head: SpoolHead;
  readonly sums: QueueDepth;
  readonly ackedEvents: number;
}

/** The open claims. They exist in this process only: in the file, claimed rows look like all others. */
export class SpoolClaims {
  readonly #index: SpoolIndex;
  readonly #claims = new Map<number, Claim>();
  /** Rows, by group, that are acknowledged but still in the file, because the disk is too full even to delete. */
  readonly #undeleted = new Map<number, SpoolRows>();
  /** Groups with a claim that the Worker has not replied to yet. */
  readonly #pending = new Set<number>();
  #lastToken = 0;

  constructor(index: SpoolIndex) {
    this.#index = index;
  }

  /** Rows that must not be dropped: claimed, possibly about to be claimed, or acknowledged. */
  get rows(): SpoolRows[] {
    const pending = [...this.#pending].map((groupId) => rowsFrom(groupId, 0));
    return [...[...this.#claims.values()].map(({ rows }) => rows), ...pending, ...this.#undeleted.values()];
  }

  /** Forgets all claims, so that their rows wait again. Claims without a reply keep their group reserved. */
  reset(): void {
    this.#claims.clear();
    this.#undeleted.clear();
    for (const groupId of this.#pending) this.#index.reserve(groupId);
  }

  /** Resolves with undefined if the group turns out to have no usable rows. */
  async claim(
    waiting: WaitingRows,
    limits: ClaimLimits,
    client: SpoolClient,
  ): Promise<ClaimedEvents | undefined> {
    const { groupId, id: fromId } = waiting;
    const { maxEvents, maxBytes } = limits;
    this.#pending.add(groupId);
    this.#index.reserve(groupId);
    try {
      const claim = { kind: "claim", groupId, fromId, maxEvents, maxBytes } as const;
      return await client.call(claim, (reply) => this.#onClaimed(groupId, reply));
    } catch (error) {
      this.#pending.delete(groupId);
      this.#index.release(groupId);
      throw error;
    }
  }

  #onClaimed(groupId: number, { outcome, dropped }: SpoolReply): ClaimedEvents | undefined {
    const claimed = outcome.kind === "claimed" ? outcome.claimed : undefined;
    this.#pending.delete(groupId);
    if (claimed === undefined) {
      if (dropped.length > 0) this.#index.release(groupId);
      else this.#index.forget(groupId);
      return undefined;
    }
    const { rows, group, chunks, sums, queuedAt, next } = claimed;
    const token = ++this.#lastToken;
    this.#index.claim(groupId, sums, next);
    this.#claims.set(token, { rows, head: { id: rows.firstId, queuedAt }, sums, ackedEvents: 0 });
    return { token, group, chunks, queuedAt };
  }

  nack({ token }: ClaimedEvents): void {
    const claim = this.#claims.get(token);
    if (claim === undefined) return;
    this.#claims.delete(token);
    this.#index.release(claim.rows.groupId, claim.sums, claim.head);
  }

  /** Deletes the first `count` events of the claim, or all. On a full disk they are forgotten now and deleted later. */
  async ack({ token }: ClaimedEvents, count: number | undefined, client: SpoolClient): Promise<void> {
    const claim = this.#claims.get(token);
    if (claim === undefined) return;
    const more = count === undefined ? claim.sums.events : count - claim.ackedEvents;
    if (more <= 0) return;
    const isAll = more >= claim.sums.events;
    try {
      const { rows } = claim;
      const action = { kind: "delete", rows, events: isAll ? undefined : more } as const;
      const wasReset = await client.call(action, (reply) => !this.#onDeleted(token, claim, reply));
      // The index was reloaded before the rows were deleted, so it counts them as waiting.
      if (wasReset) await client.reload();
    } catch (error) {
      if (!isAll || !(error instanceof SpoolError && error.kind === "full")) throw error;
      await this.#deleteLater(token, claim, client);
    }
    await this.retryDeletes(client);
  }

  /** Returns false if the claim is no longer known: the index was reloaded meanwhile. */
  #onDeleted(token: number, claim: Claim, { outcome }: SpoolReply): boolean {
    if (outcome.kind !== "deleted" || this.#claims.get(token) !== claim) return false;
    const { sums: deleted, first } = outcome;
    this.#index.ack(deleted);
    if (first === undefined) {
      this.#claims.delete(token);
      this.#index.release(claim.rows.groupId);
      return true;
    }
    this.#claims.set(token, {
      rows: { ...claim.rows, firstId: first.id },
      head: first,
      sums: addDepths(claim.sums, deleted, -1),
      ackedEvents: claim.ackedEvents + deleted.events,
    });
    return true;
  }

  /** Deletes the claimed rows and the waiting rows of their group. Resolves with the number of events deleted. */
  async drop(claimed: ClaimedEvents, client: SpoolClient): Promise<number> {
    const claim = this.#claims.get(claimed.token);
    if (claim === undefined) return 0;
    const { groupId, firstId } = claim.rows;
    const action = { kind: "delete", rows: rowsFrom(groupId, firstId), events: undefined } as const;
    try {
      const onReply = (reply: SpoolReply) => this.#onDropped(claimed.token, claim, reply);
      const { events, wasReset } = await client.call(action, onReply);
      if (wasReset) await client.reload();
      return events;
    } catch (error) {
      if (!(error instanceof SpoolError && error.kind === "full")) throw error;
      await this.ack(claimed, undefined, client);
      return claim.sums.events;
    }
  }

  #onDropped(token: number, claim: Claim, { outcome }: SpoolReply) {
    if (outcome.kind !== "deleted") return { events: 0, wasReset: false };
    const { sums: deleted } = outcome;
    const { groupId, firstId } = claim.rows;
    // The index was reloaded before the rows were deleted, so it counts them as waiting.
    if (this.#claims.get(token) !== claim) return { events: deleted.events, wasReset: true };
    this.#claims.delete(token);
    this.#index.ack(claim.sums);
    this.#index.drop({ groupId, sums: addDepths(deleted, claim.sums, -1), firstId, head: undefined });
    this.#index.release(groupId);
    return { events: deleted.events, wasReset: false };
  }

  /** Without this, events that upstream has would be sent again and again while the disk is full. */
  async #deleteLater(token: number, claim: Claim, client: SpoolClient): Promise<void> {
    if (!this.#claims.delete(token)) return;
    const { groupId, firstId, lastId } = claim.rows;
    const earlier = this.#undeleted.get(groupId);
    this.#undeleted.set(groupId, { groupId, firstId: earlier?.firstId ?? firstId, lastId });
    this.#index.ack(claim.sums);
    this.#index.release(groupId);
    if (this.#index.depth.batches === 0)
      await client.call({ kind: "recreate", undeleted: [...this.#undeleted.values()] }, () => {});
  }

  /** Tries to delete the rows that a full disk kept from being deleted. */
  async retryDeletes(client: SpoolClient): Promise<void> {
    for (const rows of this.#undeleted.values()) {
      try {
        await client.call({ kind: "delete", rows, events: undefined }, () => {
          if (this.#undeleted.get(rows.groupId) === rows) this.#undeleted.delete(rows.groupId);
        });
      } catch {
        // The client reports it. The next put or ack tries again.
        return;
      }
    }
  }
}
