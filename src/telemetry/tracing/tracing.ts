import type { ManifestSource } from "../../id-lists/manifest.ts";
import type { ManifestRefresher } from "../../id-lists/refresh.ts";
import type { EventSink } from "../../log-events/queue.ts";
import { currentTrace, type TraceHeaders } from "../../platform/trace-context.ts";
import type { SpecAcquirer } from "../../specs/acquire.ts";
import type { SpecBackup } from "../../specs/backup.ts";
import type { SpecPreparer } from "../../specs/payload/preparer.ts";
import type { SpecRefresher, SpecRefresherOptions } from "../../specs/refresh.ts";
import type { SpecSource } from "../../specs/source.ts";

export type Acquirer = Pick<SpecAcquirer, "acquire">;
export type Refresher = Pick<SpecRefresher, "refresh">;
export type KeepFirst = SpecRefresherOptions["keepFirst"];
export type Manifests = Pick<ManifestRefresher, "refresh">;

/** Puts spans around what the relay does: each method gives a part that does as `inner` does, and is seen to. */
export interface Tracing {
  /** What a request to upstream carries, so that what upstream does becomes a part of the same trace. */
  readonly headers: () => TraceHeaders | undefined;
  acquirer(inner: Acquirer): Acquirer;
  refresher(inner: Refresher): Refresher;
  source(inner: SpecSource): SpecSource;
  preparer(inner: SpecPreparer): SpecPreparer;
  backup(inner: SpecBackup): SpecBackup;
  keepFirst(inner: KeepFirst): KeepFirst;
  eventSink(inner: EventSink): EventSink;
  manifests(inner: Manifests): Manifests;
  manifestSource(inner: ManifestSource): ManifestSource;
}

const same = <T>(inner: T): T => inner;

/** Nobody watches: every part is what it is, and the traces of clients are passed on. */
export const UNTRACED: Tracing = {
  headers: currentTrace,
  acquirer: same,
  refresher: same,
  source: same,
  preparer: same,
  backup: same,
  keepFirst: same,
  eventSink: same,
  manifests: same,
  manifestSource: same,
};
