/** The one of these names that was likely meant; undefined where none is near. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const wanted = bare(given);
  if (wanted.length < MIN_LENGTH) return undefined;
  const begun = names.find((name) => bare(name).startsWith(wanted));
  if (begun !== undefined) return begun;
  const [best] = names
    .map((name) => ({ name, distance: distanceBetween(wanted, bare(name)) }))
    .sort((one, other) => one.distance - other.distance);
  return best !== undefined && best.distance <= MAX_DISTANCE * wanted.length ? best.name : undefined;
}

const MIN_LENGTH = 3;

/** As a part of the length. */
const MAX_DISTANCE = 0.34;

/** However the words of a name are joined. */
const bare = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** Letters to add, take away or replace (Levenshtein). */
function distanceBetween(one: string, other: string): number {
  let previous = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [row, letter] of [...one].entries()) {
    const current = [row + 1];
    for (const [column, against] of [...other].entries()) {
      const replaced = (previous[column] ?? 0) + (letter === against ? 0 : 1);
      current.push(Math.min(replaced, (previous[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1));
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}
