// Generates the OpenAPI documents that the management port serves from the YAML in docs/openapi.
import { join } from "node:path";
import { parse } from "yaml";
import { root } from "../command.ts";

const SOURCES = join(root, "docs/openapi");
const TARGETS = join(root, "src/http/management/documents");

const DOCUMENTS = [
  ["management.yaml", "openapi.json"],
  ["clients.yaml", "openapi-clients.json"],
] as const;

export async function writeOpenApi(): Promise<void> {
  for (const [source, target] of DOCUMENTS) await Bun.write(join(TARGETS, target), await convert(source));
}

/** Returns one line per document that differs from its source. */
export async function findStaleOpenApi(): Promise<string[]> {
  const stale: string[] = [];
  for (const [source, target] of DOCUMENTS) {
    const file = Bun.file(join(TARGETS, target));
    const isCurrent = (await file.exists()) && (await file.text()) === (await convert(source));
    if (!isCurrent) stale.push(`${target} does not match docs/openapi/${source}: run \`npm run gen\``);
  }
  return stale;
}

async function convert(source: string): Promise<string> {
  const document: unknown = parse(await Bun.file(join(SOURCES, source)).text(), { merge: true });
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
