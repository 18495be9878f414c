import { hashedSdkKey } from "./hashed-sdk-key.ts";
import type { SampleProject, Spec } from "./sample-model.ts";
import { conditionName, experimentToLayer, sharedConditions } from "./shared-conditions.ts";

function byName(specs: readonly Spec[]) {
  return Object.fromEntries(
    specs.map(({ name, ...spec }) => {
      const rules = spec.rules.map((rule) => ({ ...rule, conditions: rule.conditions.map(conditionName) }));
      return [name, { ...spec, rules }];
    }),
  );
}

/** The top-level fields that the protobuf shape carries as JSON too. */
export function v2Rest(project: SampleProject, sdkKey: string) {
  return {
    experiment_to_layer: experimentToLayer(project),
    id_lists: Object.fromEntries(project.idLists.map((name) => [name, true])),
    diagnostics: {},
    sdk_flags: {},
    sdk_configs: {},
    hashed_sdk_key_used: hashedSdkKey(sdkKey),
  };
}

/** The v2 shape: entities by name, rules naming conditions of one shared map. */
export function renderV2(project: SampleProject, sdkKey: string): string {
  return JSON.stringify({
    dynamic_configs: byName(project.configs),
    feature_gates: byName(project.gates),
    layer_configs: byName(project.layers),
    condition_map: Object.fromEntries(sharedConditions(project)),
    param_stores: project.paramStores,
    has_updates: true,
    time: project.timeMs,
    checksum: project.checksum,
    company_id: project.companyId,
    response_format: "dcs-v2",
    ...v2Rest(project, sdkKey),
  });
}
