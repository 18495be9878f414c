import { describe, expect, test } from "bun:test";
import { summarizeHeap } from "../../src/profiling/heap-snapshot.ts";

const NODE_TYPES = [
  ...["hidden", "array", "string", "object", "code", "closure", "regexp", "number", "native", "synthetic"],
  ...["concatenated string", "sliced string", "symbol", "bigint", "object shape"],
];
const EDGE_TYPES = ["context", "element", "property", "internal", "hidden", "shortcut", "weak"];

/** An object of a heap. What it holds is `[kind of reference, name, object]`. */
interface HeapObject {
  readonly type: string;
  readonly name: string;
  readonly holds: readonly (readonly [kind: string, name: string, held: HeapObject])[];
}

const object = (name: string, properties: Readonly<Record<string, HeapObject>> = {}): HeapObject => ({
  ...{ type: "object", name },
  holds: Object.entries(properties).map(([property, held]) => ["property", property, held] as const),
});
const leaf = (type: string, name: string): HeapObject => ({ type, name, holds: [] });

/** Writes a heap as the runtimes do, with 1,000 bytes for each object, so that none is too small to be shown. */
function writeSnapshot(globals: Readonly<Record<string, HeapObject>>): string {
  const root: HeapObject = {
    ...{ type: "synthetic", name: "" },
    holds: [["shortcut", "", object("GlobalObject", globals)]],
  };
  const objects = new Set([root]);
  // A Set also yields what is added meanwhile.
  for (const { holds } of objects) for (const [, , held] of holds) objects.add(held);
  const all = [...objects];
  const strings: string[] = [];
  const text = (value: string) => {
    if (!strings.includes(value)) strings.push(value);
    return strings.indexOf(value);
  };
  const WIDTH = 5;
  const nodes = all.flatMap(({ type, name, holds }, at) => [
    ...[NODE_TYPES.indexOf(type), text(name), at, 1_000, holds.length],
  ]);
  const edges = all.flatMap(({ holds }) =>
    holds.flatMap(([kind, name, held]) => [EDGE_TYPES.indexOf(kind), text(name), all.indexOf(held) * WIDTH]),
  );
  const meta = {
    node_fields: ["type", "name", "id", "self_size", "edge_count"],
    node_types: [NODE_TYPES, "string", "number", "number", "number"],
    edge_fields: ["type", "name_or_index", "to_node"],
    edge_types: [EDGE_TYPES, "string_or_number", "node"],
  };
  return JSON.stringify({ snapshot: { meta }, nodes, edges, strings });
}

/** Returns the places of a sum, each as the way to it from the global object. */
function waysIn(globals: Readonly<Record<string, HeapObject>>): readonly string[] {
  const places = summarizeHeap(writeSnapshot(globals));
  return places.map((place) => {
    const names = [place.frame.name];
    for (let at = place.parent; at >= 0; at = places[at]?.parent ?? -1)
      names.unshift(places[at]?.frame.name ?? "?");
    return names.slice(1).join(" > ");
  });
}

/** An SDK key without a hyphen has the form of a name in code. */
const KEY = "my_key_123";

/** What the code has: a class with these fields. */
const classWith = (...fields: readonly string[]) =>
  object("Feed", Object.fromEntries(fields.map((field) => [field, leaf("number", "smi number")])));

describe("a heap is summed up without", () => {
  test.each(["string", "concatenated string", "sliced string", "symbol", "regexp", "bigint"])(
    "what is in it: %s",
    (type) => {
      expect(waysIn({ store: object("Store", { text: leaf(type, KEY) }) })).toContain(
        `store: Store > text: (${type})`,
      );
      expect(waysIn({ store: object("Store", { text: leaf(type, KEY) }) }).join()).not.toContain(KEY);
    },
  );

  test("the names of properties that data gives to objects, such as those of JSON and maps", () => {
    const feeds = { [KEY]: object("Feed"), enable_checkout: object("Object", { sdkKey: object("Buffer") }) };
    const ways = waysIn({ store: object("Store", { feeds: object("Object", feeds) }) });
    expect(ways).toContain("store: Store > feeds: Object > Feed");
    expect(ways).toContain("store: Store > feeds: Object > Object > Buffer");
    expect(ways.join()).not.toMatch(/my_key|enable_checkout|sdkKey/);
  });

  test("the names of variables of the environment", () => {
    const env = object("ProcessEnv", { [KEY]: object("Value") });
    const ways = waysIn({ store: object("Store", { env }) });
    expect(ways).toContain("store: Store > env: ProcessEnv > Value");
    expect(ways.join()).not.toContain(KEY);
  });

  test("names of objects with many properties, even if the code has them", () => {
    const names = Array.from({ length: 41 }, (_, at) => `name_${at}`);
    const tableOf = (fields: readonly string[]) =>
      object("Object", Object.fromEntries(fields.map((field) => [field, object("Value")])));
    const known = object("Known", {
      part: classWith(...names.slice(0, 20)),
      rest: classWith(...names.slice(20)),
    });
    const large = waysIn({ known, store: object("Store", { table: tableOf(names) }) });
    expect(large).toContain("store: Store > table: Object > Value");
    expect(large.filter((way) => way.includes("table") && way.includes("name_"))).toEqual([]);
    const small = waysIn({ known, store: object("Store", { table: tableOf(names.slice(1)) }) });
    expect(small).toContain("store: Store > table: Object > name_40: Value");
  });

  test("names that are none in any code", () => {
    const store = object("Store", { "secret-0123": object("Feed"), "a.b": object("Feed") });
    const ways = waysIn({ store, "secret-4567": object("secret-89ab") });
    expect(ways).toContain("store: Store > Feed");
    expect(ways).toContain("(object)");
    expect(ways.join()).not.toMatch(/secret|a\.b/);
  });
});

test("a heap is summed up with the names of classes, fields and variables, and of literals whose names the code has", () => {
  const scope: HeapObject = {
    ...{ type: "object", name: "system / JSLexicalEnvironment" },
    holds: [["context", "snapshot", object("Object", { lcut: object("Value"), bytes: object("Buffer") })]],
  };
  const ways = waysIn({ store: object("Store", { "#feed": classWith("lcut"), scope }) });
  expect(ways).toContain("store: Store > #feed: Feed > lcut: (number)");
  expect(ways).toContain("store: Store > scope: (variables of a function) > snapshot: Object > lcut: Value");
  // No class and no variable here has this name.
  expect(ways).toContain("store: Store > scope: (variables of a function) > snapshot: Object > Buffer");
});
