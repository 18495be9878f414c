import { dynamicConfigsAt } from "./sample-configs.ts";
import { standaloneExperiments } from "./sample-experiments.ts";
import { gatesAt } from "./sample-gates.ts";
import { companyListName } from "./sample-id-list.ts";
import { sampleLayers } from "./sample-layers.ts";
import type { SampleProject } from "./sample-model.ts";
import { sampleParamStores } from "./sample-param-stores.ts";

/** An online shop's Statsig project: all of it steady but `demo_flip` and `demo_banner`. */
export function projectAt(revision: number, timeMs: number): SampleProject {
  return {
    revision,
    timeMs,
    checksum: `${revision}${timeMs}`,
    companyId: "sample_shop",
    gates: gatesAt(revision),
    configs: [
      ...dynamicConfigsAt(revision, timeMs),
      ...standaloneExperiments,
      ...sampleLayers.flatMap(({ experiments }) => experiments),
    ],
    layers: sampleLayers.map(({ layer }) => layer),
    layerExperiments: Object.fromEntries(
      sampleLayers.map(({ layer, experiments }) => [layer.name, experiments.map(({ name }) => name)]),
    ),
    paramStores: sampleParamStores,
    idLists: [companyListName],
  };
}
