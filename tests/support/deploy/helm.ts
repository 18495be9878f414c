import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { fetchHelm } from "../../../scripts/release/helm.ts";
import type { KubernetesObject } from "./kubernetes-schemas.ts";

export const chartFolder = fileURLToPath(
  new URL("../../../deploy/helm/statsig-forward-proxy", import.meta.url),
);

export interface HelmRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs Helm without this process's environment, so that it cannot reach a cluster. */
export async function helm(...args: readonly string[]): Promise<HelmRun> {
  const child = Bun.spawn([await fetchHelm(), ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, stdout, stderr };
}

/** Renders the chart as release `relays` with these arguments. */
export async function rendered(...args: readonly string[]): Promise<KubernetesObject[]> {
  const { exitCode, stdout, stderr } = await helm("template", "relays", chartFolder, ...args);
  if (exitCode !== 0) throw new Error(stderr);
  return objectsIn(stdout);
}

export function objectsIn(yaml: string): KubernetesObject[] {
  const documents = parseAllDocuments(yaml, { prettyErrors: true });
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const object = document.toJS() as KubernetesObject | null;
    return object === null ? [] : [object];
  });
}
