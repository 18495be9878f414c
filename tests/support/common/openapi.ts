import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import statusSchema from "../../../src/http/management/documents/status.schema.json";

interface Operation {
  readonly operationId: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly object[];
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const METHODS = ["get", "head", "post", "put", "delete", "patch"];

/** Returns the operations of a document, with path and method. */
export function operationsOf({ paths }: OpenApi) {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, operation]) => ({
        path,
        method: method.toUpperCase(),
        operation: operation as Operation,
      })),
  );
}

/** Checks responses against what a document says of them. */
export class ResponseChecker {
  readonly #document: OpenApi;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });

  constructor(document: OpenApi) {
    this.#document = document;
    addFormats(this.#ajv);
    this.#ajv.addSchema(document, "openapi.json");
    this.#ajv.addSchema(statusSchema, "status.schema.json");
  }

  /** Throws if the document does not have the status or the type of the body, or if the body does not match its schema. */
  async expect(method: string, path: string, response: Response): Promise<void> {
    const where = `${method} ${path} ${response.status}`;
    const operation = this.#document.paths[path]?.[method.toLowerCase()];
    const found = this.#read(operation, ["responses", String(response.status)]);
    if (found === undefined) throw new Error(`${where} is not documented`);
    const body = await response.text();
    if (body === "") return;
    const type = response.headers.get("content-type")?.split(";")[0] ?? "";
    const schema = this.#read(found, ["content", type, "schema"]);
    if (schema === undefined) throw new Error(`${where} has a body of type ${type}, which is not documented`);
    const value: unknown = /json$/.test(type) ? JSON.parse(body) : body;
    const validate = this.#ajv.compile(withRoot(schema));
    if (!validate(value)) throw new Error(`${where}: ${this.#ajv.errorsText(validate.errors)} in ${body}`);
  }

  /** Follows a path of names, and references within the document. */
  #read(from: unknown, names: readonly string[]): object | undefined {
    let at = this.#resolve(from);
    for (const name of names) at = this.#resolve((at as Record<string, unknown> | undefined)?.[name]);
    return at as object | undefined;
  }

  #resolve(part: unknown): unknown {
    const reference = (part as { readonly $ref?: string } | undefined)?.$ref;
    if (reference === undefined || !reference.startsWith("#/components/responses/")) return part;
    const [, , , name = ""] = reference.split("/");
    const { components } = this.#document as unknown as {
      readonly components: { readonly responses: Readonly<Record<string, unknown>> };
    };
    return components.responses[name];
  }
}

/** References to the document and to the schema of the status must not depend on where a part is. */
function withRoot(schema: object): object {
  const text = JSON.stringify(schema)
    .replaceAll('"#/components', '"openapi.json#/components')
    .replaceAll('"./status.schema.json"', '"status.schema.json"');
  return JSON.parse(text) as object;
}
