import type { ManifestSource } from "../../id-lists/manifest.ts";
import type { ManifestRefresher } from "../../id-lists/refresh.ts";
import type { EventSink } from "../../log-events/queue.ts";
import { currentTrace, type TraceHeaders } from "../../platform/trace-context.ts";
import type { SpecAcquirer } from "../../specs/acquire.ts";
import type { SpecBackup } from "../../specs/backup.ts";
import type { SpecPreparer } from "../../specs/payload/preparer.ts";
import type { RefreshBackup, SpecRefresher } from "../../specs/refresh.ts";
import type { SpecSource } from "../../specs/source.ts";

export type Acquirer = Pick<SpecAcquirer, "acquire">;
export type Refresher = Pick<SpecRefresher, "refresh">;
export type Manifests = Pick<ManifestRefresher, "refresh">;

/** Adds spans to the work of the relay. Each method returns a decorator that works as `inner` does. */
export interface Tracing {
  /** Trace headers of a request to upstream, whose spans become part of the same trace. */
  readonly headers: () => TraceHeaders | undefined;
  acquirer(inner: Acquirer): Acquirer;
  refresher(inner: Refresher): Refresher;
  source(inner: SpecSource): SpecSource;
  preparer(inner: SpecPreparer): SpecPreparer;
  backup(inner: SpecBackup): SpecBackup;
  writer(inner: RefreshBackup): RefreshBackup;
  eventSink(inner: EventSink): EventSink;
  manifests(inner: Manifests): Manifests;
  manifestSource(inner: ManifestSource): ManifestSource;
}

const same = <T>(inner: T): T => inner;

/** Adds no spans. The trace headers of clients are forwarded to upstream. */
export const UNTRACED: Tracing = {
  headers: currentTrace,
  acquirer: same,
  refresher: same,
  source: same,
  preparer: same,
  backup: same,
  writer: same,
  eventSink: same,
  manifests: same,
  manifestSource: same,
};
