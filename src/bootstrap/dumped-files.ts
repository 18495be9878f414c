import type { Snapshot } from "../specs/snapshot.ts";
import type { SpecStore } from "../specs/store.ts";
import { createName } from "./names.ts";

/** A name takes two digests, and a dump asks for the list with each file. */
const names = new WeakMap<Snapshot, string>();

/**
 * Returns the held versions with the names that their files have. If upstream sent JSON for both formats of a feed, the file has the
 * newer one.
 */
export function listDumpedFiles(
  store: SpecStore,
): readonly { readonly name: string; readonly snapshot: Snapshot }[] {
  const byName = new Map<string, Snapshot>();
  for (const { feed, snapshot } of store.held()) {
    const name = names.get(snapshot) ?? createName(feed.sdkKey, feed.version, snapshot.format);
    names.set(snapshot, name);
    const other = byName.get(name);
    if (other === undefined || other.lcut < snapshot.lcut) byName.set(name, snapshot);
  }
  return [...byName]
    .map(([name, snapshot]) => ({ name, snapshot }))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
}
