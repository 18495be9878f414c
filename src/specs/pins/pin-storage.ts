/**
 * Where pins are stored outside of the process, as one text for all SDK keys. Every method rejects if the place fails at the moment,
 * and settles within the place's own time limits.
 */
export interface PinStorage {
  /** Returns undefined if nothing is stored. */
  read(): Promise<string | undefined>;
  /** Stores `text` if what is stored is still `expected`, atomically. Returns whether it was. */
  replace(expected: string | undefined, text: string): Promise<boolean>;
  /** Notifies the other relays, if there is a way. Notices may be lost. */
  announce?(): Promise<void>;
  /** Calls the listener when another relay has announced a change. */
  onAnnounced?(listener: () => void): void;
}
