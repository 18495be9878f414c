import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import schema from "../../../src/http/management/documents/status.schema.json";

const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
addFormats(ajv);

const validate = ajv.compile(closed(schema));

/** Throws unless the status matches its JSON Schema, and has no field that the schema does not have. */
export function expectStatusSchema(report: unknown): void {
  if (!validate(report)) throw new Error(`/status.json: ${ajv.errorsText(validate.errors)}`);
}

/** Returns the schema with objects that have no other fields. Clients must accept more, since versions may add some. */
function closed(part: unknown): never {
  if (Array.isArray(part)) return part.map(closed) as never;
  if (typeof part !== "object" || part === null) return part as never;
  const entries = Object.entries(part).map(([name, value]) => [name, closed(value)] as const);
  const copy: Record<string, unknown> = Object.fromEntries(entries);
  if (copy["type"] === "object" && "properties" in copy) copy["additionalProperties"] = false;
  return copy as never;
}
