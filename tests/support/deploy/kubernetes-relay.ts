import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import type { IContainer } from "kubernetes-models/v1/Container";
import type { IPodTemplateSpec } from "kubernetes-models/v1/PodTemplateSpec";
import { type FinishedRun, runRelay } from "../relay/relay-process.ts";
import type { KubernetesObject } from "./kubernetes-schemas.ts";

const dockerfile = readFileSync(new URL("../../../Dockerfile", import.meta.url), "utf8");

/** The image's variables, and the management port, which the relays of tests only have if they set it. */
const IMAGE_ENVIRONMENT: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Array.from(
      dockerfile.slice(dockerfile.lastIndexOf("\nFROM")).matchAll(/\b(SFP_[A-Z_]+)=([^\s\\]+)/g),
      ([, name = "", value = ""]) => [name, value],
    ),
  ),
  SFP_MANAGEMENT_PORT: "8001",
};

/** The files in every secret of the cluster. */
const SECRETS: Readonly<Record<string, string>> = {
  "sdk-keys": "secret-kubernetes-1\nsecret-kubernetes-2\n",
  "tls.crt": "a certificate",
  "tls.key": "a key",
  "ca.crt": "an authority",
};

export function relayContainer(objects: readonly KubernetesObject[]): IContainer {
  const [container] = podOf(objects).spec?.containers ?? [];
  if (container === undefined) throw new Error("no container");
  return container;
}

export function podOf(objects: readonly KubernetesObject[]): IPodTemplateSpec {
  const deployment = objects.find(({ kind }) => kind === "Deployment");
  if (deployment === undefined) throw new Error("no deployment");
  return (deployment as unknown as { spec: { template: IPodTemplateSpec } }).spec.template;
}

/** Runs the relay with --print-config and exactly the environment and arguments of the container. */
export async function printedByContainer(
  objects: readonly KubernetesObject[],
  folder: string,
): Promise<FinishedRun> {
  const container = relayContainer(objects);
  writeMounts(objects, folder);
  const at = (text: string) => text.replaceAll("/etc/statsig-forward-proxy", folder);
  const env: Record<string, string> = { ...IMAGE_ENVIRONMENT };
  for (const { name, value, valueFrom } of container.env ?? []) {
    if ((value === undefined) === (valueFrom === undefined))
      throw new Error(`${name} must have either value or valueFrom`);
    env[name] =
      value === undefined
        ? name === "REDIS_URL"
          ? "redis://redis:6379"
          : "a-secret-of-the-cluster"
        : at(value);
  }
  return await runRelay(["--print-config", ...(container.args ?? []).map(at)], env);
}

/** Writes the files of each volume to `folder`, which replaces /etc/statsig-forward-proxy. */
function writeMounts(objects: readonly KubernetesObject[], folder: string): void {
  const { volumes = [] } = podOf(objects).spec ?? {};
  for (const { name, mountPath } of relayContainer(objects).volumeMounts ?? []) {
    const volume = volumes.find((each) => each.name === name);
    if (volume === undefined) throw new Error(`${name} is mounted but is not a volume`);
    if (!mountPath.startsWith("/etc/statsig-forward-proxy/")) continue;
    const config = objects.find(({ kind }) => kind === "ConfigMap") as IConfigMap | undefined;
    const files = volume.configMap === undefined ? SECRETS : (config?.data ?? {});
    const path = mountPath.replace("/etc/statsig-forward-proxy", folder);
    mkdirSync(path, { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  }
}

/** Returns the ports on which a relay with this printed configuration listens. */
export function listeningPorts(printed: string): number[] {
  const settingOf = (name: string) => new RegExp(`^${name}: (\\S+)`, "m").exec(printed)?.[1];
  const mode = settingOf("mode");
  const isSecure = settingOf("x509-server-cert-path") !== undefined;
  const names = [
    ...(mode === "grpc" ? [] : [isSecure ? "https-port" : "http-port"]),
    ...(mode === "http" ? [] : [isSecure ? "grpcs-port" : "grpc-port"]),
    "management-port",
  ];
  return names.map((name) => Number(settingOf(name)));
}
