import { createHash } from "node:crypto";
import type { Condition, SampleProject } from "./sample-model.ts";

/** A number that stands for some content; the wire gives checksums 32 bits, written as decimal. */
export function contentChecksum(content: string | Uint8Array): string {
  return String(createHash("sha256").update(content).digest().readUInt32BE());
}

/** v2 and protobuf rules name their conditions, so that equal ones travel once. */
export function conditionName(condition: Condition): string {
  return contentChecksum(JSON.stringify(condition));
}

export function sharedConditions(project: SampleProject): ReadonlyMap<string, Condition> {
  const specs = [...project.gates, ...project.configs, ...project.layers];
  const conditions = specs.flatMap(({ rules }) => rules).flatMap((rule) => rule.conditions);
  return new Map(conditions.map((condition) => [conditionName(condition), condition]));
}

export function experimentToLayer(project: SampleProject): { [experiment: string]: string } {
  return Object.fromEntries(
    Object.entries(project.layerExperiments).flatMap(([layer, experiments]) =>
      experiments.map((experiment) => [experiment, layer]),
    ),
  );
}
