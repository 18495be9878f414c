import fc from "fast-check";
import {
  ENTITY_KINDS,
  ENVELOPE_KINDS,
  type Entity,
  type EntityKind,
  entityName,
} from "./project-entities.ts";
import { CHECKSUM_STYLES, type ChecksumStyle, type ProjectVersion } from "./project-version.ts";

/** A change of a project. `at` selects an entity, modulo the number of entities. */
export type Edit =
  | { readonly kind: "change"; readonly at: number; readonly content: number }
  | { readonly kind: "add"; readonly entity: Entity }
  | { readonly kind: "remove"; readonly at: number }
  /** Gives the name to an entity of another kind. */
  | { readonly kind: "move"; readonly at: number; readonly to: EntityKind }
  | { readonly kind: "reverse" }
  | { readonly kind: "clear" }
  | { readonly kind: "set"; readonly field: string; readonly value: unknown }
  | { readonly kind: "unset"; readonly field: string }
  | { readonly kind: "company"; readonly companyId: string }
  | { readonly kind: "checksums"; readonly style: ChecksumStyle };

/** Top-level fields as SDKs know them, and one that they do not. */
const FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  experiment_to_layer: [{}, { experiment_0: "layer_0" }],
  default_environment: ["staging", "production"],
  sdk_configs: [{ event_queue_size: 2_000 }, {}],
  sdk_flags: [{ flag: true }],
  diagnostics: [{ initialize: 10_000, dcs: 1_000 }],
  future_field: [[1, 2, 3]],
};

const anyEntity: fc.Arbitrary<Entity> = fc
  .record({ kind: fc.constantFrom(...ENTITY_KINDS), number: fc.nat(12), content: fc.nat(5) })
  .map(({ kind, number, content }) => ({ kind, name: entityName(kind, number), content }));

const at = fc.nat(99);
const anyField = fc.constantFrom(...Object.keys(FIELDS));

/** Edits after which a project is about as large as before. */
export const smallEdit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("change"), at, content: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("add"), entity: anyEntity }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove"), at }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("move"), at, to: fc.constantFrom(...ENTITY_KINDS) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reverse") }) },
  {
    weight: 1,
    arbitrary: anyField.chain((field) =>
      fc.record({
        kind: fc.constant("set"),
        field: fc.constant(field),
        value: fc.constantFrom(...(FIELDS[field] ?? [])),
      }),
    ),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unset"), field: anyField }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("company"), companyId: fc.constantFrom("", "one", "other") }),
  },
);

export const anyEdit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 30, arbitrary: smallEdit },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear") }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("checksums"), style: fc.constantFrom(...CHECKSUM_STYLES) }),
  },
);

/** Returns the project after the edits, with the time and checksum that it had. */
export const applyEdits = (version: ProjectVersion, edits: readonly Edit[]): ProjectVersion =>
  edits.reduce(applyEdit, version);

function applyEdit(version: ProjectVersion, edit: Edit): ProjectVersion {
  const { entities, rest } = version;
  const selected = "at" in edit ? entities[edit.at % entities.length] : undefined;
  const others = entities.filter((entity) => entity !== selected);
  switch (edit.kind) {
    case "change": {
      const change = (entity: Entity) =>
        entity === selected ? { ...entity, content: edit.content } : entity;
      return { ...version, entities: entities.map(change) };
    }
    case "add":
      return { ...version, entities: withEntity(entities, edit.entity) };
    case "remove":
      return { ...version, entities: others };
    case "move":
      return selected === undefined
        ? version
        : { ...version, entities: withEntity(others, { ...selected, kind: edit.to }) };
    case "reverse":
      return { ...version, entities: entities.toReversed() };
    case "clear":
      return { ...version, entities: [] };
    case "set":
      return { ...version, rest: { ...rest, [edit.field]: edit.value } };
    case "unset": {
      const { [edit.field]: _, ...left } = rest;
      // SDKs cannot read a payload without it.
      return { ...version, rest: { ...left, experiment_to_layer: left["experiment_to_layer"] ?? {} } };
    }
    case "company":
      return { ...version, companyId: edit.companyId };
    case "checksums":
      return { ...version, checksumStyle: edit.style };
  }
}

/** A name occurs once among the entities that are sent as the same kind of envelope. */
function withEntity(entities: readonly Entity[], added: Entity): readonly Entity[] {
  const isOther = ({ kind, name }: Entity) =>
    name !== added.name || ENVELOPE_KINDS[kind] !== ENVELOPE_KINDS[added.kind];
  return [...entities.filter(isOther), added];
}

/** Returns a project that has `perKind` entities of every kind. */
export function newProject({ perKind = 9, time = 1_700_000_000_000 } = {}): ProjectVersion {
  const numbers = Array.from({ length: perKind }, (_, number) => number);
  return {
    time,
    checksum: `${time}_checksum`,
    rest: { experiment_to_layer: {} },
    companyId: "company",
    entities: ENTITY_KINDS.flatMap((kind) =>
      numbers.map((number) => ({ kind, name: entityName(kind, number), content: 0 })),
    ),
    checksumStyle: "base64",
  };
}
