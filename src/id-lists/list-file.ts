import { createHash } from "node:crypto";
import type { IdListEntry } from "./manifest.ts";

/** The file of a list, as far as it is on disk. Bytes that are there never change: it grows, or another replaces it. */
export class ListFile {
  /** Tells files apart; where it is, which of its url's files it is, and of when. */
  readonly digest: string;
  readonly fileID: string;
  readonly creationTime: number;
  /** Of a list that has it; there may be others. */
  readonly listName: string;
  /** Verified bytes on disk, up to the last whole line. */
  bytes = 0;
  /** Upstream's file was there whole at some time: before that it is not served, since the beginning of a file is no list. */
  isWhole = false;
  /** It could not be read when it was served: the whole of it is fetched again. */
  isDamaged = false;
  /** Of the file in the folder; undefined before there is one. */
  name: string | undefined;
  /** Lists of manifests that have this file, or wait for it. */
  uses = 0;
  /** Why it is not as upstream's is, and since when (ms since the Unix epoch); undefined if it is. */
  problem: { readonly list: string; readonly detail: string; readonly since: number } | undefined;

  constructor(entry: IdListEntry) {
    this.digest = digestOf(entry);
    this.fileID = entry.fileID;
    this.creationTime = entry.creationTime;
    this.listName = entry.name;
  }
}

/** The url counts without its query, which may be a signature that is another each time. */
export function digestOf({ url, fileID, creationTime }: IdListEntry): string {
  const where = url.replace(/[?#].*$/s, "");
  return createHash("sha256")
    .update(JSON.stringify([where, fileID, creationTime]))
    .digest("hex");
}
