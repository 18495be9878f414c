/** Longer than any caller waits; keeps numbers of any length finite. */
const MAX_MS = 24 * 3_600_000;

/** As HTTP has them: `Sun, 06 Nov 1994 …`, and of old `Sunday, 06-Nov-94 …` and `Sun Nov  6 …`, which is GMT too. */
const DATE = /^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )/;

/**
 * Ms until the time that Retry-After names, in seconds or as a date; undefined if it is missing or neither. A date is
 * compared with upstream's own clock if the answer has it, so that ours may be wrong.
 */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1_000, MAX_MS);
  const at = parseDate(value);
  if (at === undefined) return undefined;
  const sentAt = parseDate(headers.get("date")?.trim() ?? "") ?? now;
  return Math.min(Math.max(0, at - sentAt), MAX_MS);
}

function parseDate(value: string): number | undefined {
  if (!DATE.test(value)) return undefined;
  const time = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`);
  return Number.isNaN(time) ? undefined : time;
}
