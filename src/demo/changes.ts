import type { JsonObject, SampleProject, Spec } from "./model.ts";

/** Returns one line for each gate and dynamic config whose value differs: its name, the old value and the new one. */
export function describeChanges(before: SampleProject, after: SampleProject): readonly string[] {
  return [
    ...changed(before.gates, after.gates).flatMap(([old, next]) => {
      const [was, is] = [describeRollout(old), describeRollout(next)];
      return was === is ? [] : `gate ${next.name}: ${was} → ${is}`;
    }),
    ...changed(before.configs, after.configs).map(
      ([old, next]) => `config ${next.name}: ${describeFields(everyonesValue(old), everyonesValue(next))}`,
    ),
  ];
}

function changed(before: readonly Spec[], after: readonly Spec[]): readonly (readonly [Spec, Spec])[] {
  const old = new Map(before.map((spec) => [spec.name, spec]));
  return after.flatMap((next) => {
    const was = old.get(next.name);
    return was === undefined || JSON.stringify(was) === JSON.stringify(next) ? [] : [[was, next] as const];
  });
}

/** Describes for how many users a gate is on by its first rule; the gates of the sample project that change have one. */
function describeRollout({ rules: [first] }: Spec): string {
  const percent = first?.passPercentage ?? 0;
  if (percent === 0) return "off";
  return percent === 100 ? "on" : `on for ${percent} % of users`;
}

/** The value for every user, which is that of the first rule without a condition. */
function everyonesValue({ rules: [first], defaultValue }: Spec): JsonObject {
  const value = first?.returnValue ?? defaultValue;
  return typeof value === "boolean" ? { value } : value;
}

/** Times are left out: they say nothing that the line does not. */
function describeFields(old: JsonObject, next: JsonObject): string {
  return Object.entries(next)
    .map(([name, value]) => ({ name, was: JSON.stringify(old[name]), is: JSON.stringify(value) }))
    .filter(({ name, was, is }) => was !== is && !name.endsWith("_ms"))
    .map(({ name, was, is }) => `${name} ${was} → ${is}`)
    .join(", ");
}
