import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** An object of Kubernetes, as far as every one has it. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** The module that has the schema of such objects. */
function moduleOf({ apiVersion, kind }: KubernetesObject): string {
  const isOperators = apiVersion.startsWith("monitoring.coreos.com/");
  return `${isOperators ? "@kubernetes-models/prometheus-operator" : "kubernetes-models"}/${apiVersion}/${kind}`;
}

interface Model {
  validate(): void;
}

/** What the schema says of values: missing, of a wrong type or form. Throws where something is wrong. */
export async function validateValues(object: KubernetesObject): Promise<void> {
  const models = (await import(moduleOf(object))) as Record<string, new (value: unknown) => Model>;
  const Model = models[object.kind];
  if (Model === undefined) throw new Error(`no schema of ${object.apiVersion} ${object.kind}`);
  new Model(object).validate();
}

/** Fields that no schema has, such as misspelt ones, which validators let pass: the compiler's messages, none where all is well. */
export function unknownFields(objects: readonly KubernetesObject[]): string {
  const folder = mkdtempSync(join(tmpdir(), "sfp-fields-"));
  try {
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const lines = objects.map((object, at) => {
      const type = `import("${moduleOf(object)}").I${object.kind}`;
      return `export const object${at}: ${type} = ${JSON.stringify(object, null, 1)};`;
    });
    mkdirSync(join(folder, "objects"));
    writeFileSync(join(folder, "objects", "all.ts"), lines.join("\n"));
    const compilerOptions = {
      ...{ module: "preserve", target: "esnext", strict: true, noEmit: true, skipLibCheck: true },
      types: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["objects"] }));
    const tsc = join(root, "node_modules", ".bin", "tsc");
    const { stdout } = Bun.spawnSync([process.execPath, tsc, "-p", folder], { cwd: folder });
    return stdout.toString();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
