import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The common fields of all Kubernetes objects. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Returns the module with the schema of this kind. */
function findModule({ apiVersion, kind }: KubernetesObject): string {
  const isOperatorKind = apiVersion.startsWith("monitoring.coreos.com/");
  return `${isOperatorKind ? "@kubernetes-models/prometheus-operator" : "kubernetes-models"}/${apiVersion}/${kind}`;
}

interface Model {
  validate(): void;
}

/** Throws if the object violates the schema of its kind. */
export async function validateValues(object: KubernetesObject): Promise<void> {
  const models = (await import(findModule(object))) as Record<string, new (value: unknown) => Model>;
  const Model = models[object.kind];
  if (Model === undefined) throw new Error(`no schema for ${object.apiVersion} ${object.kind}`);
  new Model(object).validate();
}

/** Returns the compiler's messages for fields that are not in the schema, such as misspelled ones, which validators accept. */
export function unknownFields(objects: readonly KubernetesObject[]): string {
  const folder = mkdtempSync(join(tmpdir(), "sfp-fields-"));
  try {
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const lines = objects.map((object, at) => {
      const type = `import("${findModule(object)}").I${object.kind}`;
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
