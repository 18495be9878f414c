import type { Feed } from "../specs/feed.ts";

/** A file that is not served. */
export interface UnusableFile {
  /** Relative to the folder. */
  readonly name: string;
  readonly reason: string;
}

/** What happens to config specs in files. */
export type BootstrapEvent =
  | {
      /** The files were read: at the start, after a change, and on request. */
      readonly kind: "bootstrap_read";
      readonly path: string;
      readonly usable: number;
      readonly unusable: readonly UnusableFile[];
    }
  /** A file that is not served. Emitted when the file has changed, and for all such files at the start and on request. */
  | ({ readonly kind: "bootstrap_unusable" } & UnusableFile)
  /** Files name no SDK key, so that every allowed key gets what they have: their number, and the newest of them. Emitted as above. */
  | { readonly kind: "bootstrap_for_every_key"; readonly files: number; readonly name: string }
  /** The folder or file cannot be read, or has too many files. What was read before stays in use. */
  | { readonly kind: "bootstrap_failed"; readonly path: string; readonly reason: string }
  /** In offline mode: no file has config specs for this feed. */
  | { readonly kind: "bootstrap_missing"; readonly feed: Feed }
  /** A file has another content than before with the same time: clients that have that time may keep what they have. */
  | { readonly kind: "bootstrap_same_time"; readonly feed: Feed; readonly name: string }
  /** What a file has for a feed is not served. */
  | {
      readonly kind: "bootstrap_refused";
      readonly feed: Feed;
      readonly name: string;
      readonly reason: string;
    };

export type EmitBootstrapEvent = (event: BootstrapEvent) => void;
