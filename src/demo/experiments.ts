import type { IdType, JsonObject, Rule, Spec } from "./model.ts";
import { bucketAmong, bucketBelow, fails, rule } from "./rules.ts";

const bucketCount = 1000;

/** The buckets, of a layer or of the experiment itself, whose users participate. */
interface Allocation {
  readonly salt: string;
  readonly buckets: readonly number[];
}

interface ExperimentParts {
  readonly groups: { readonly [group: string]: JsonObject };
  readonly defaultValue: JsonObject;
  readonly idType?: IdType;
  readonly isActive?: boolean;
  readonly allocation?: Allocation;
  readonly targetingGate?: string;
  /** The parameters that the experiment sets. Only for experiments of a layer. */
  readonly explicitParameters?: readonly string[];
}

function buckets(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, offset) => from + offset);
}

/** Rules for users who do not participate: they get the default value and are in no group. */
function exclusions(parts: ExperimentParts, idType: IdType): readonly Rule[] {
  const { allocation, targetingGate, defaultValue } = parts;
  const rules: Rule[] = [];
  if (targetingGate !== undefined) {
    const notTargeted = rule("not targeted", defaultValue, { when: [fails(targetingGate)], idType });
    rules.push({ ...notTargeted, id: "targetingGate" });
  }
  if (allocation !== undefined) {
    const when = [bucketAmong("none", allocation.buckets, allocation.salt, idType)];
    rules.push({ ...rule("not allocated", defaultValue, { when, idType }), id: "layerAssignment" });
  }
  return rules;
}

function experiment(name: string, parts: ExperimentParts): Spec {
  const salt = `salt_of_${name}`;
  const idType = parts.idType ?? "userID";
  const groups = Object.entries(parts.groups);
  const groupRules = groups.map(([group, value], index): Rule => {
    const limit = Math.round(((index + 1) * bucketCount) / groups.length);
    const when = [bucketBelow(limit, salt, idType)];
    const returnValue = { ...parts.defaultValue, ...value };
    return { ...rule(group, returnValue, { when, idType }), id: `${name}_${index}`, isExperimentGroup: true };
  });
  return {
    name,
    type: "dynamic_config",
    entity: "experiment",
    salt,
    enabled: true,
    defaultValue: parts.defaultValue,
    rules: [...exclusions(parts, idType), ...(parts.isActive === false ? [] : groupRules)],
    idType,
    version: 1,
    isActive: parts.isActive ?? true,
    hasSharedParams: parts.explicitParameters !== undefined,
    explicitParameters: parts.explicitParameters ?? [],
  };
}

export const standaloneExperiments: readonly Spec[] = [
  experiment("checkout_button_color", {
    defaultValue: { color: "grey", label: "Buy now" },
    groups: { Control: {}, Green: { color: "green" }, Orange: { color: "orange", label: "Order now" } },
  }),
  experiment("free_shipping_threshold", {
    defaultValue: { threshold: 80 },
    groups: { Control: {}, Lower: { threshold: 50 } },
    allocation: { salt: "salt_of_free_shipping_threshold_allocation", buckets: buckets(0, 800) },
  }),
  experiment("loyalty_points_rate", {
    defaultValue: { points_per_euro: 1 },
    groups: { Control: {}, Double: { points_per_euro: 2 } },
    targetingGate: "loyalty_rewards",
  }),
  experiment("homepage_layout", {
    defaultValue: { columns: 3, infinite_scroll: false },
    groups: { Control: {}, Wide: { columns: 4 }, Endless: { infinite_scroll: true } },
    idType: "stableID",
  }),
  experiment("onboarding_email", {
    defaultValue: { subject: "Welcome" },
    groups: { Control: {}, Friendly: { subject: "Good to have you" } },
    isActive: false,
  }),
];

interface LayerWithExperiments {
  readonly layer: Spec;
  readonly experiments: readonly Spec[];
}

interface AllocatedExperiment {
  readonly name: string;
  /** The first bucket of the layer, and one past the last, from 0 to 1000. */
  readonly from: number;
  readonly to: number;
  readonly groups: { readonly [group: string]: JsonObject };
}

/** The experiments of a layer share its parameters. They never overlap, since each has its own range of buckets. */
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
