import { bucketAmong } from "./sample-conditions.ts";
import { type Allocation, buckets, experiment } from "./sample-experiments.ts";
import type { JsonObject, Rule, Spec } from "./sample-model.ts";
import { rule } from "./sample-specs.ts";

export interface LayerWithExperiments {
  readonly layer: Spec;
  readonly experiments: readonly Spec[];
}

interface AllocatedExperiment {
  readonly name: string;
  /** First and one past the last of the layer's buckets, 0 to 1000. */
  readonly from: number;
  readonly to: number;
  readonly groups: { readonly [group: string]: JsonObject };
}

/** A layer shares parameters among experiments that never overlap: each owns a range of its buckets. */
function layer(
  name: string,
  defaultValue: JsonObject,
  allocated: readonly AllocatedExperiment[],
): LayerWithExperiments {
  const salt = `salt_of_${name}`;
  const delegates: Rule[] = [];
  const experiments: Spec[] = [];
  for (const { name: experimentName, from, to, groups } of allocated) {
    const allocation: Allocation = { salt, buckets: buckets(from, to) };
    const when = [bucketAmong("any", allocation.buckets, salt, "userID")];
    delegates.push({ ...rule(experimentName, defaultValue, { when }), configDelegate: experimentName });
    const explicitParameters = [...new Set(Object.values(groups).flatMap((value) => Object.keys(value)))];
    experiments.push(experiment(experimentName, { defaultValue, groups, allocation, explicitParameters }));
  }
  const spec: Spec = {
    name,
    type: "dynamic_config",
    entity: "layer",
    salt,
    enabled: true,
    defaultValue,
    rules: delegates,
    idType: "userID",
    version: 1,
  };
  return { layer: spec, experiments };
}

export const sampleLayers: readonly LayerWithExperiments[] = [
  layer("product_page", { gallery: "grid", reviews: "below", sticky_cart: false }, [
    {
      name: "product_gallery",
      from: 0,
      to: 400,
      groups: { Control: { gallery: "grid" }, Carousel: { gallery: "carousel" }, Zoom: { gallery: "zoom" } },
    },
    {
      name: "review_placement",
      from: 400,
      to: 800,
      groups: { Control: { reviews: "below" }, Beside: { reviews: "beside", sticky_cart: true } },
    },
  ]),
  layer("search", { ranking: "popularity", page_size: 24 }, [
    {
      name: "search_ranking",
      from: 0,
      to: 1000,
      groups: { Control: { ranking: "popularity" }, Relevance: { ranking: "relevance" } },
    },
  ]),
  layer("footer", { newsletter: true, links: ["help", "imprint"] }, []),
];
