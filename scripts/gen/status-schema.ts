// Generates the JSON Schema of /status.json from the types and comments in src/telemetry/status.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { root } from "../command.ts";
import { type Declaration, type Field, parseDeclarations, type TypeNode } from "./type-parser.ts";

const FOLDER = join(root, "src/telemetry/status");
const TARGET = join(root, "src/http/management/documents/status.schema.json");

/** The types of the body are in these files. */
const SOURCES = /^(?:schema.*|timestamp)\.ts$/;

const ROOT_TYPE = "StatusReport";

export type JsonSchema = Readonly<Record<string, unknown>>;

export async function writeStatusSchema(): Promise<void> {
  const { schema } = toSchema(await readTypes());
  await Bun.write(TARGET, format(schema));
}

/** Returns a problem if the schema differs from the types, and one for each field without a comment. */
export async function findStaleStatusSchema(): Promise<string[]> {
  const { schema, undescribed } = toSchema(await readTypes());
  const file = Bun.file(TARGET);
  const isCurrent = (await file.exists()) && (await file.text()) === format(schema);
  return [
    ...(isCurrent
      ? []
      : ["status.schema.json does not match the types in src/telemetry/status: run `npm run gen`"]),
    ...undescribed.map((field) => `the field ${field} of /status.json has no comment`),
  ];
}

const format = (schema: JsonSchema): string => `${JSON.stringify(schema, undefined, 2)}\n`;

async function readTypes(): Promise<readonly Declaration[]> {
  const names = (await readdir(FOLDER)).filter((name) => SOURCES.test(name)).sort();
  const texts = await Promise.all(names.map((name) => Bun.file(join(FOLDER, name)).text()));
  return texts.flatMap(parseDeclarations);
}

interface Written {
  readonly schema: JsonSchema;
  /** The fields without a comment, such as `Poll.at`. */
  readonly undescribed: readonly string[];
}

export function toSchema(declarations: readonly Declaration[]): Written {
  const writer = new SchemaWriter(declarations);
  const body = writer.define(ROOT_TYPE);
  const others = declarations.filter(({ name }) => name !== ROOT_TYPE);
  const definitions = others.map(({ name }) => [name, writer.define(name)] as const);
  const schema = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "The status of a Statsig forward proxy: /status.json of its management port",
    ...body,
    $defs: Object.fromEntries(definitions),
  };
  return { schema, undescribed: writer.undescribed };
}

class SchemaWriter {
  readonly undescribed: string[] = [];
  readonly #declarations: ReadonlyMap<string, Declaration>;

  constructor(declarations: readonly Declaration[]) {
    this.#declarations = new Map(declarations.map((each) => [each.name, each]));
  }

  define(name: string): JsonSchema {
    const { comment, type, base } = this.#find(name);
    const inherited = base === undefined ? [] : this.#fieldsOf(base);
    const described = comment === undefined ? {} : { description: comment };
    return type.kind === "object"
      ? { ...described, ...this.#object([...inherited, ...type.fields], name) }
      : { ...described, ...this.#schema(type, name) };
  }

  #find(name: string): Declaration {
    const found = this.#declarations.get(name);
    if (found === undefined) throw new Error(`the type ${name} is not in a file of the schema`);
    return found;
  }

  #fieldsOf(name: string): readonly Field[] {
    const { type } = this.#find(name);
    if (type.kind !== "object") throw new Error(`${name} is not an interface`);
    return type.fields;
  }

  #object(fields: readonly Field[], owner: string): JsonSchema {
    const properties = fields.map((field) => [field.name, this.#field(field, owner)] as const);
    return {
      type: "object",
      properties: Object.fromEntries(properties),
      required: fields.filter(({ isOptional }) => !isOptional).map(({ name }) => name),
    };
  }

  #field({ name, comment, type }: Field, owner: string): JsonSchema {
    const path = `${owner}.${name}`;
    if (comment === undefined && !this.#isDescribed(type)) this.undescribed.push(path);
    return { ...(comment !== undefined && { description: comment }), ...this.#schema(type, path) };
  }

  /** An interface with a comment says what it is, alone or in an array. */
  #isDescribed(type: TypeNode): boolean {
    if (type.kind === "array") return this.#isDescribed(type.of);
    if (type.kind !== "name") return false;
    const { comment, type: target } = this.#find(type.name);
    return comment !== undefined && target.kind !== "union";
  }

  #schema(type: TypeNode, path: string): JsonSchema {
    switch (type.kind) {
      case "primitive":
        return { type: type.name };
      case "literal":
        return { const: type.value };
      case "name": {
        const target = this.#find(type.name);
        return target.format === undefined
          ? { $ref: `#/$defs/${type.name}` }
          : { ...this.#schema(target.type, path), format: target.format };
      }
      case "array":
        return { type: "array", items: this.#schema(type.of, path) };
      case "object":
        return this.#object(type.fields, path);
      case "record":
        return this.#record(type, path);
      case "union":
        return this.#union(type.members, path);
    }
  }

  #record({ key, value, isPartial }: Extract<TypeNode, { kind: "record" }>, path: string): JsonSchema {
    const names = this.#literals(key);
    const schema = this.#schema(value, path);
    if (names === undefined) return { type: "object", additionalProperties: schema };
    const properties = Object.fromEntries(names.map((name) => [name, schema]));
    return { type: "object", properties, ...(!isPartial && { required: names }) };
  }

  /** Returns the texts of a union of literals; undefined for `string`. */
  #literals(type: TypeNode): readonly string[] | undefined {
    if (type.kind === "name") return this.#literals(this.#find(type.name).type);
    if (type.kind === "literal") return [type.value];
    if (type.kind !== "union") return undefined;
    return type.members.flatMap((member) => this.#literals(member.type) ?? []);
  }

  #union(members: Extract<TypeNode, { kind: "union" }>["members"], path: string): JsonSchema {
    const isNullable = members.some(({ type }) => type.kind === "primitive" && type.name === "null");
    const others = members.filter(({ type }) => !(type.kind === "primitive" && type.name === "null"));
    const [only] = others;
    const schema =
      others.length === 1 && only !== undefined ? this.#schema(only.type, path) : this.#choice(others, path);
    if (!isNullable) return schema;
    const { type, ...rest } = schema;
    return typeof type === "string"
      ? { type: [type, "null"], ...rest }
      : { anyOf: [schema, { type: "null" }] };
  }

  #choice(members: Extract<TypeNode, { kind: "union" }>["members"], path: string): JsonSchema {
    const isEnum = members.every(({ type }) => type.kind === "literal");
    if (!isEnum) return { anyOf: members.map(({ type }) => this.#schema(type, path)) };
    if (members.every(({ comment }) => comment === undefined)) {
      return { enum: members.flatMap(({ type }) => (type.kind === "literal" ? [type.value] : [])) };
    }
    return {
      oneOf: members.map(({ type, comment }) => ({
        ...this.#schema(type, path),
        ...(comment !== undefined && { description: comment }),
      })),
    };
  }
}
