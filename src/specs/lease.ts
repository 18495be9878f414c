/** The right to write the backup and, in a fleet, to poll; held by one relay at a time. */
export interface Lease {
  /** False as soon as it may have run out, whether or not another relay has it yet. */
  readonly isHeld: boolean;
  /** Called each time that it comes to be held. */
  onAcquired(listener: () => void): void;
}

/** For a backup that is this relay's own. */
export const OWN_LEASE: Lease = {
  isHeld: true,
  onAcquired() {},
};
