import type { StackNode } from "../platform/profiling/stacks.ts";

/** A heap snapshot in the format of V8, as far as it is used here: flat lists, whose fields `meta` names. */
interface HeapSnapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: readonly (string | readonly string[])[];
      readonly edge_fields: readonly string[];
      readonly edge_types: readonly (string | readonly string[])[];
    };
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

/** What is further from the root counts for what holds it. */
const MAX_DEPTH = 12;

/** A place that holds less than this part of all bytes, with all that is below it, counts for what holds it. */
const SMALLEST_PART = 1 / 1_000;

/** An object with more properties is a table: their names are data. */
const MAX_NAMED_PROPERTIES = 40;

/**
 * The text of such a node can be data of the relay or its clients, which must not leave in a profile: the text itself, the pattern of a
 * regular expression, the description of a symbol.
 */
const TEXT_TYPES: ReadonlySet<string> = new Set([
  ...["string", "concatenated string", "sliced string"],
  ...["symbol", "regexp", "number", "bigint"],
]);

/**
 * The classes of objects whose properties can be named by data, such as the keys of JSON and of objects that serve as maps. Objects of
 * all other classes, functions and scopes have names that the code gives them.
 */
const NAMED_BY_DATA: ReadonlySet<string> = new Set(["Object", "ProcessEnv"]);

const ROOT_TYPE = "synthetic";

/** The class of the global object of JavaScriptCore. */
const GLOBAL = "GlobalObject";

/** What holds the variables of a function or a module, in the words of the runtime and in those of a profile. */
const SCOPES: Readonly<Record<string, string>> = {
  "system / JSLexicalEnvironment": "(variables of a function)",
  "system / JSModuleEnvironment": "(variables of a module)",
};

/**
 * Sums up a heap snapshot by what holds the memory: each object counts for the shortest path of references from the roots, in
 * names of classes and properties. Contains no value of the heap. Throws a SyntaxError if the text is no JSON.
 */
export function summarizeHeap(text: string): readonly StackNode[] {
  const graph = new HeapGraph(JSON.parse(text));
  return withoutSmall(sumUp(graph));
}

/** The objects of a heap and the references between them. An object is its position among all. */
class HeapGraph {
  readonly size: number;
  readonly #snapshot: HeapSnapshot;
  readonly #nodeWidth: number;
  readonly #edgeWidth: number;
  readonly #nodeField: Record<"type" | "name" | "bytes" | "edges", number>;
  readonly #edgeField: Record<"type" | "name" | "target", number>;
  readonly #nodeTypes: readonly string[];
  readonly #edgeTypes: readonly string[];
  /** The index of the first reference, by object. */
  readonly #firstEdge: Int32Array;
  /** The names of properties and variables outside {@link NAMED_BY_DATA}, as indexes of `strings`. */
  readonly #namesOfCode: ReadonlySet<number>;

  constructor(snapshot: HeapSnapshot) {
    const { node_fields, node_types, edge_fields, edge_types } = snapshot.snapshot.meta;
    this.#snapshot = snapshot;
    this.#nodeWidth = node_fields.length;
    this.#edgeWidth = edge_fields.length;
    this.#nodeField = {
      type: node_fields.indexOf("type"),
      name: node_fields.indexOf("name"),
      bytes: node_fields.indexOf("self_size"),
      edges: node_fields.indexOf("edge_count"),
    };
    this.#edgeField = {
      type: edge_fields.indexOf("type"),
      name: edge_fields.indexOf("name_or_index"),
      target: edge_fields.indexOf("to_node"),
    };
    this.#nodeTypes = [node_types[this.#nodeField.type] ?? []].flat();
    this.#edgeTypes = [edge_types[this.#edgeField.type] ?? []].flat();
    this.size = snapshot.nodes.length / this.#nodeWidth;
    this.#firstEdge = new Int32Array(this.size + 1);
    for (let node = 0; node < this.size; node++) {
      this.#firstEdge[node + 1] = (this.#firstEdge[node] ?? 0) + this.#node(node, this.#nodeField.edges);
    }
    this.#namesOfCode = this.#findNamesOfCode();
  }

  bytes(node: number): number {
    return this.#node(node, this.#nodeField.bytes);
  }

  forEachEdge(node: number, visit: (edge: number, node: number) => void): void {
    const end = this.#firstEdge[node + 1] ?? 0;
    for (let edge = this.#firstEdge[node] ?? 0; edge < end; edge++) visit(edge, node);
  }

  /** Whether an object is only a list of roots. */
  isRootList(node: number): boolean {
    return this.#nodeTypes[this.#node(node, this.#nodeField.type)] === ROOT_TYPE;
  }

  target(edge: number): number {
    return this.#edge(edge, this.#edgeField.target) / this.#nodeWidth;
  }

  isWeak(edge: number): boolean {
    return this.#edgeTypes[this.#edge(edge, this.#edgeField.type)] === "weak";
  }

  /** Returns the class of the object, or what it is to the runtime. */
  className(node: number): string {
    const type = this.#nodeTypes[this.#node(node, this.#nodeField.type)] ?? "";
    if (type === ROOT_TYPE) return "(roots)";
    if (TEXT_TYPES.has(type)) return `(${type})`;
    const name = this.#snapshot.strings[this.#node(node, this.#nodeField.name)] ?? "";
    return SCOPES[name] ?? (isIdentifier(name) ? name : `(${type})`);
  }

  /**
   * Returns the name of the property that a reference is; empty if it has none, or one that may be data. An object that is named by data
   * gets the names alone that the code has elsewhere in this heap, as most names of object literals are: the form of a name does not
   * distinguish an SDK key from a word of the code.
   */
  propertyName(edge: number, owner: number): string {
    if (!this.#isNamed(edge)) return "";
    const edges = (this.#firstEdge[owner + 1] ?? 0) - (this.#firstEdge[owner] ?? 0);
    if (edges > MAX_NAMED_PROPERTIES) return "";
    const index = this.#edge(edge, this.#edgeField.name);
    if (!this.#namesOfCode.has(index)) return "";
    const name = this.#snapshot.strings[index] ?? "";
    return isIdentifier(name) ? name : "";
  }

  #findNamesOfCode(): ReadonlySet<number> {
    const names = new Set<number>();
    for (let node = 0; node < this.size; node++) {
      const { name } = this.#nodeField;
      if (NAMED_BY_DATA.has(this.#snapshot.strings[this.#node(node, name)] ?? "")) continue;
      this.forEachEdge(node, (edge) => {
        if (this.#isNamed(edge)) names.add(this.#edge(edge, this.#edgeField.name));
      });
    }
    return names;
  }

  /** Whether the name of a reference is one of a property or a variable, and not a number or a word of the runtime. */
  #isNamed(edge: number): boolean {
    const type = this.#edgeTypes[this.#edge(edge, this.#edgeField.type)];
    return type === "property" || type === "context";
  }

  #node(node: number, field: number): number {
    return this.#snapshot.nodes[node * this.#nodeWidth + field] ?? 0;
  }

  #edge(edge: number, field: number): number {
    return this.#snapshot.edges[edge * this.#edgeWidth + field] ?? 0;
  }
}

/** Whether a name can be one of source text. Most SDK keys have a hyphen and are none, but some can be. */
function isIdentifier(name: string): boolean {
  return /^[#$_\p{L}][\w$ ]{0,63}$/u.test(name);
}

/** A place in the sum, which grows. */
interface Place {
  readonly name: string;
  readonly parent: number;
  readonly depth: number;
  count: number;
  value: number;
}

/** Returns all places, each after what holds it. */
function sumUp(graph: HeapGraph): Place[] {
  const places: Place[] = [];
  const indexes = new Map<string, number>();
  const find = (name: string, parent: number): number => {
    const depth = (places[parent]?.depth ?? 0) + 1;
    if (depth > MAX_DEPTH) return parent;
    const key = `${parent} ${name}`;
    const known = indexes.get(key);
    if (known !== undefined) return known;
    indexes.set(key, places.length);
    return places.push({ name, parent, depth, count: 0, value: 0 }) - 1;
  };
  const add = (node: number, place: number) => {
    const sum = places[place];
    if (sum === undefined) return;
    sum.count++;
    sum.value += graph.bytes(node);
  };
  const placeOf = new Int32Array(graph.size).fill(-2);
  walk(graph, (node, edge, holder) => {
    const place = holder === -1 ? -1 : find(label(graph, node, edge, holder), placeOf[holder] ?? -1);
    placeOf[node] = place;
    add(node, place);
  });
  const unreachable = placeOf.indexOf(-2);
  if (unreachable >= 0) {
    const place = find("(not reachable)", -1);
    for (let node = unreachable; node < graph.size; node++) if (placeOf[node] === -2) add(node, place);
  }
  return places;
}

function label(graph: HeapGraph, node: number, edge: number, holder: number): string {
  const property = graph.propertyName(edge, holder);
  return property === "" ? graph.className(node) : `${property}: ${graph.className(node)}`;
}

type Visit = (node: number, edge: number, holder: number) => void;

/**
 * Visits each object that the root, which is the first object, holds: once, and after what holds it. Shortest paths begin at the global
 * object, if there is one: the collector also takes for roots what the stack happens to refer to, and that says little.
 */
function walk(graph: HeapGraph, visit: Visit): void {
  const queue = new Int32Array(graph.size);
  const isSeen = new Uint8Array(graph.size);
  const roots: { readonly edge: number; readonly holder: number }[] = [];
  let [next, end] = [0, 0];
  const reach = (edge: number, holder: number) => {
    const node = graph.target(edge);
    if (isSeen[node] === 1 || graph.isWeak(edge)) return;
    isSeen[node] = 1;
    queue[end++] = node;
    visit(node, edge, holder);
  };
  const drain = () => {
    for (; next < end; next++) graph.forEachEdge(queue[next] ?? 0, reach);
  };
  isSeen[0] = 1;
  visit(0, -1, -1);
  graph.forEachEdge(0, (edge, holder) => {
    const node = graph.target(edge);
    if (!graph.isRootList(node)) roots.push({ edge, holder });
    else {
      isSeen[node] = 1;
      visit(node, edge, holder);
      graph.forEachEdge(node, (inner, list) => roots.push({ edge: inner, holder: list }));
    }
  });
  const isGlobal = ({ edge }: { readonly edge: number }) => graph.className(graph.target(edge)) === GLOBAL;
  for (const { edge, holder } of [...roots.filter(isGlobal), ...roots]) {
    reach(edge, holder);
    if (isGlobal({ edge })) drain();
  }
  drain();
}

/** Adds small places to what holds them, and returns the others. */
function withoutSmall(places: readonly Place[]): readonly StackNode[] {
  const below = places.map(({ value }) => value);
  for (let index = places.length - 1; index >= 0; index--) {
    const parent = places[index]?.parent ?? -1;
    if (parent >= 0) below[parent] = (below[parent] ?? 0) + (below[index] ?? 0);
  }
  const least = SMALLEST_PART * places.reduce((sum, { value }) => sum + value, 0);
  const kept: (StackNode & { count: number; value: number })[] = [];
  let rest = -1;
  const indexOf = places.map(() => -1);
  places.forEach(({ name, parent, count, value }, index) => {
    const above = parent < 0 ? -1 : (indexOf[parent] ?? -1);
    const isSmall = (below[index] ?? 0) < least;
    if (isSmall && above < 0) rest = rest < 0 ? push("(others)", -1) : rest;
    const at = isSmall ? (above < 0 ? rest : above) : push(name, above);
    indexOf[index] = at;
    const sum = kept[at];
    if (sum === undefined) return;
    sum.count += count;
    sum.value += value;
  });
  return kept;

  function push(name: string, parent: number): number {
    const frame = { name, file: "", line: 0, column: 0 };
    return kept.push({ frame, parent, count: 0, value: 0 }) - 1;
  }
}
