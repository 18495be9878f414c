/** A moment as ISO 8601 in UTC; null where there was none. */
export type Moment = string | null;

/** What a Date can be; an lcut may be more. */
const MAX_DATE_MS = 8.64e15;

/** `ms` since the Unix epoch. */
export function momentOf(ms: number | undefined): Moment {
  return ms === undefined || Math.abs(ms) > MAX_DATE_MS ? null : isoOf(ms);
}

export function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** Seconds from then to now, to a tenth; never less than 0, whatever clocks say. */
export function ageS(now: number, then: number): number {
  return Math.max(0, Math.round((now - then) / 100) / 10);
}
