/** Each value by its path, with its default as a README shows it. Lists, and what is empty, are not gone into. */
export function chartValues(values: unknown, path = ""): ReadonlyMap<string, string> {
  const isBranch = isRecord(values) && Object.keys(values).length > 0 && !isSmall(values);
  if (!isBranch) return new Map([[path, shown(values)]]);
  const parts = Object.entries(values).flatMap(([name, value]) => [
    ...chartValues(value, path === "" ? name : `${path}.${name}`),
  ]);
  return new Map(parts);
}

/** What a table of three columns tells: value, default, meaning. */
export function describedValues(readme: string): ReadonlyMap<string, string> {
  const rows = readme.matchAll(/^\| `([^`]+)` \| (?:`([^`]*)`)? ?\|/gm);
  return new Map(Array.from(rows, ([, path = "", value = ""]) => [path, value]));
}

/** Parts of Kubernetes' own objects, which a person sets as a whole. */
const WHOLE = ["httpGet", "preStop", "runAsNonRoot", "allowPrivilegeEscalation", "requests"];

const isSmall = (values: Readonly<Record<string, unknown>>): boolean => WHOLE.some((name) => name in values);

function shown(value: unknown): string {
  if (value === "" || value === null) return "";
  if (Array.isArray(value) && value.length > 0 && typeof value[0] === "object") return "see values.yaml";
  if (isRecord(value) && Object.keys(value).length > 0) return "see values.yaml";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
