import { hashedSdkKey } from "./hashed-sdk-key.ts";
import type { SampleProject } from "./sample-model.ts";

/** The v1 shape: entities in arrays, each rule with its conditions inline. */
export function renderV1(project: SampleProject, sdkKey: string): string {
  return JSON.stringify({
    dynamic_configs: project.configs,
    feature_gates: project.gates,
    layer_configs: project.layers,
    layers: project.layerExperiments,
    param_stores: project.paramStores,
    has_updates: true,
    time: project.timeMs,
    checksum: project.checksum,
    company_id: project.companyId,
    id_lists: Object.fromEntries(project.idLists.map((name) => [name, true])),
    diagnostics: {},
    sdk_flags: {},
    sdk_configs: {},
    hashed_sdk_key_used: hashedSdkKey(sdkKey),
  });
}
