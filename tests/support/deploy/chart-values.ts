/** Returns each value by its path, with its default as the README shows it. Lists and empty values are not expanded. */
export function chartValues(values: unknown, path = ""): ReadonlyMap<string, string> {
  const isBranch = isRecord(values) && Object.keys(values).length > 0 && !isWhole(values);
  if (!isBranch) return new Map([[path, formatDefault(values)]]);
  const parts = Object.entries(values).flatMap(([name, value]) => [
    ...chartValues(value, path === "" ? name : `${path}.${name}`),
  ]);
  return new Map(parts);
}

/** Returns the defaults by path from the README's tables of value, default and meaning. */
export function describedValues(readme: string): ReadonlyMap<string, string> {
  const rows = readme.matchAll(/^\| `([^`]+)` \| (?:`([^`]*)`)? ?\|/gm);
  return new Map(Array.from(rows, ([, path = "", value = ""]) => [path, value]));
}

/** Objects with one of these fields are Kubernetes' own and are documented as a whole. */
const WHOLE = ["httpGet", "preStop", "runAsNonRoot", "allowPrivilegeEscalation", "requests"];

const isWhole = (values: Readonly<Record<string, unknown>>): boolean => WHOLE.some((name) => name in values);

function formatDefault(value: unknown): string {
  if (value === "" || value === null) return "";
  if (Array.isArray(value) && value.length > 0 && typeof value[0] === "object") return "see values.yaml";
  if (isRecord(value) && Object.keys(value).length > 0) return "see values.yaml";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
