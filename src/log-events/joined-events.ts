/** Stands between the texts of events: no JSON text holds it. */
export const SEPARATOR = "\0";

export function joinEvents(events: readonly string[]): Buffer {
  return Buffer.from(events.join(SEPARATOR));
}

export function splitEvents(joined: Buffer, count: number): readonly string[] {
  return count === 0 ? [] : joined.toString().split(SEPARATOR);
}
