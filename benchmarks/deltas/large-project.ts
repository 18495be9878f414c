import type { Condition, IdType, JsonObject, Rule, SampleProject, Spec } from "../../src/demo/model.ts";
import {
  bucketBelow,
  dynamicConfig,
  fails,
  gate,
  now,
  passes,
  rule,
  tier,
  unitIn,
  userField,
} from "../../src/demo/rules.ts";
import { Random } from "./random.ts";

const GATES = 1_900;
const CONFIGS = 700;
const EXPERIMENTS = 500;
const EXPERIMENTS_IN_LAYERS = 250;
const LAYERS = 60;
/** Dynamic configs whose value is a document: they are half of a real project's bytes. */
const DOCUMENTS = 24;
const DOCUMENT_ITEMS = 455;

/**
 * Returns a project whose JSON has 5 MB. Its proportions are those of real projects: most entities have a few hundred bytes and
 * one to four rules, few are large, more than half of the conditions belong to one rule, and statsig-br is a fifth of the JSON.
 */
export function largeProject(): SampleProject {
  const random = new Random(17);
  const gates: Spec[] = [];
  while (gates.length < GATES) gates.push(randomGate(random, gates));
  const experiments = random.list(EXPERIMENTS, () => randomExperiment(random, gates));
  const layers = random.list(LAYERS, () => `layer_${random.words(2, "_")}_${random.id(4)}`);
  const layerExperiments: Record<string, string[]> = Object.fromEntries(layers.map((layer) => [layer, []]));
  for (const { name } of experiments.slice(0, EXPERIMENTS_IN_LAYERS))
    layerExperiments[random.pick(layers)]?.push(name);
  return {
    revision: 1,
    timeMs: 0,
    checksum: "",
    companyId: random.id(),
    gates,
    configs: [
      ...experiments,
      ...random.list(CONFIGS, () => randomConfig(random, gates)),
      ...random.list(DOCUMENTS, () => documentConfig(random)),
    ],
    layers: layers.map((layer) => layerSpec(random, layer, layerExperiments[layer] ?? [])),
    layerExperiments,
    paramStores: {},
    idLists: random.list(20, () => `segment:${random.words(2, "_")}`),
  };
}

function randomGate(random: Random, earlier: readonly Spec[]): Spec {
  const name = `${random.words(2 + random.below(3), "_")}_${random.id(3)}`;
  const rules = random.list(1 + random.below(4), () => {
    const percent = random.pick([0, 5, 10, 25, 50, 100, 100, 100, 100, 100]);
    return named(random, rule(name, true, { percent, ...randomConditions(random, earlier) }));
  });
  return {
    ...gate(name, rules, { idType: randomIdType(random) }),
    salt: random.uuid(),
    version: version(random),
  };
}

function randomExperiment(random: Random, gates: readonly Spec[]): Spec {
  const name = `${random.words(3, "_")}_${random.id(3)}`;
  const salt = random.uuid();
  const values = randomValue(random, 3);
  const groups = ["Control", "Test", "Test #2"].slice(0, 2 + random.below(2));
  const rules = [
    ...(random.chance(0.4) ? [named(random, rule(name, values, randomConditions(random, gates)))] : []),
    ...groups.map((groupName, at): Rule => {
      const limit = Math.round(((at + 1) * 1_000) / groups.length);
      const when = [bucketBelow(limit, salt, "userID")];
      const group = named(random, rule(name, { ...values, ...randomValue(random, 2) }, { when }));
      return { ...group, salt: group.id, groupName, isExperimentGroup: true };
    }),
  ];
  const spec = dynamicConfig(name, values, rules);
  return { ...spec, entity: "experiment", salt, version: version(random), isActive: true };
}

function randomConfig(random: Random, gates: readonly Spec[]): Spec {
  const name = `${random.words(2 + random.below(2), "_")}_${random.id(3)}`;
  const rules = random.list(random.below(4), () =>
    named(random, rule(name, randomValue(random, 6), randomConditions(random, gates))),
  );
  return {
    ...dynamicConfig(name, randomValue(random, 6), rules),
    salt: random.uuid(),
    version: version(random),
  };
}

function documentConfig(random: Random): Spec {
  const items = random.list(DOCUMENT_ITEMS, () => ({
    id: random.id(10),
    title: random.words(4, " "),
    price: random.below(1_000),
    isAvailable: random.chance(0.9),
    category: random.words(1, ""),
  }));
  const spec = dynamicConfig(`${random.words(2, "_")}_document`, {}, [
    named(random, rule("everyone", { items })),
  ]);
  return { ...spec, salt: random.uuid(), version: version(random) };
}

function layerSpec(random: Random, name: string, experiments: readonly string[]): Spec {
  const values = randomValue(random, 4);
  const rules = experiments.map((configDelegate, at): Rule => {
    const when = [bucketBelow(at + 1, name, "userID")];
    return { ...named(random, rule(name, values, { when })), configDelegate };
  });
  return { ...dynamicConfig(name, values, rules), entity: "layer", salt: random.uuid() };
}

/** Statsig's rules have an ID as their name. */
function named(random: Random, anonymous: Rule): Rule {
  const id = random.id();
  return { ...anonymous, id, name: id, salt: random.chance(0.6) ? random.uuid() : "" };
}

/** A third of all rules are for everyone. Other conditions are mostly those of one rule. */
function randomConditions(random: Random, gates: readonly Spec[]): { readonly when?: readonly Condition[] } {
  if (random.chance(0.35)) return {};
  return { when: random.list(random.chance(0.1) ? 2 : 1, () => randomCondition(random, gates)) };
}

function randomCondition(random: Random, gates: readonly Spec[]): Condition {
  switch (random.below(8)) {
    case 0:
      return gates.length > 0 ? passes(random.pick(gates).name) : tier(["production"]);
    case 1:
      return gates.length > 0 ? fails(random.pick(gates).name) : tier(["staging"]);
    case 2:
      return userField("email", "str_ends_with_any", [`@${random.words(2, "-")}.example`]);
    case 3:
      return userField(
        "appVersion",
        "version_gte",
        `${random.below(9)}.${random.below(30)}.${random.below(9)}`,
      );
    case 4:
      return now("after", 1_700_000_000_000 + random.below(60_000_000) * 1_000);
    case 5:
      return tier([random.pick(["production", "staging", "development"])]);
    case 6:
      return userField(
        "country",
        "any",
        random.list(1 + random.below(6), () => random.pick(COUNTRIES)),
      );
    default:
      return unitIn(
        random.list(
          1 + random.below(random.chance(0.1) ? 400 : 6),
          () => `${random.words(2, ".")}@mail.example`,
        ),
      );
  }
}

const COUNTRIES = "AT AU BE BR CA CH CN CZ DE DK ES FI FR GB IE IN IT JP KR MX NL NO NZ PL PT SE US ZA".split(
  " ",
);

function randomIdType(random: Random): IdType {
  return random.pick(["userID", "userID", "userID", "userID", "stableID", "companyID"]);
}

function randomValue(random: Random, maxParameters: number): JsonObject {
  const parameters = random.list(1 + random.below(maxParameters), () => [
    random.words(2, "_"),
    randomParameter(random),
  ]);
  return Object.fromEntries(parameters);
}

function randomParameter(random: Random): string | number | boolean {
  switch (random.below(4)) {
    case 0:
      return random.chance(0.5);
    case 1:
      return random.below(5_000);
    case 2:
      return random.words(1 + random.below(6), " ");
    default:
      return `https://static.example/${random.words(2, "/")}/${random.id(8)}`;
  }
}

function version(random: Random): number {
  return 1 + random.below(60);
}
