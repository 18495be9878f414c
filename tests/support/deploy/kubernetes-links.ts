import type { IIngress } from "kubernetes-models/networking.k8s.io/v1/Ingress";
import type { IService } from "kubernetes-models/v1/Service";
import { podOf, relayContainer } from "./kubernetes-relay.ts";
import type { KubernetesObject } from "./kubernetes-schemas.ts";

/** A reference from one object to another, and whether the other exists. */
export interface Link {
  readonly from: string;
  readonly to: string;
  readonly exists: boolean;
}

type Labels = Readonly<Record<string, string>>;

interface Spec {
  readonly selector?: Labels & { readonly matchLabels?: Labels };
  readonly scaleTargetRef?: { readonly kind: string; readonly name: string };
}

/** Returns the references by selectors, scale targets, service ports and ingress backends. */
export function findLinks(objects: readonly KubernetesObject[]): Link[] {
  return objects.flatMap((object) => [
    ...selectorLinks(object, objects),
    ...scaleLinks(object, objects),
    ...(object.kind === "Service" ? portLinks(object as unknown as IService, objects) : []),
    ...(object.kind === "Ingress" ? backendLinks(object as unknown as IIngress, objects) : []),
  ]);
}

const specOf = (object: KubernetesObject) => (object as { readonly spec?: Spec }).spec;

const has = (labels: Labels, wanted: Labels) =>
  Object.keys(wanted).length > 0 && Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** A ServiceMonitor selects services, all other objects select pods. */
function selectorLinks(object: KubernetesObject, objects: readonly KubernetesObject[]): Link[] {
  const selector = specOf(object)?.selector;
  if (selector === undefined) return [];
  const wanted: Labels = selector.matchLabels ?? (selector as Labels);
  const pods: Labels = podOf(objects).metadata?.labels ?? {};
  const services = objects.filter(({ kind }) => kind === "Service");
  const exists =
    object.kind === "ServiceMonitor"
      ? services.filter(({ metadata }) => has(metadata.labels ?? {}, wanted)).length === 1
      : has(pods, wanted);
  return [{ from: object.kind, to: JSON.stringify(wanted), exists }];
}

function scaleLinks(object: KubernetesObject, objects: readonly KubernetesObject[]): Link[] {
  const target = specOf(object)?.scaleTargetRef;
  if (target === undefined) return [];
  const { kind, name } = target;
  const exists = objects.some((each) => each.kind === kind && each.metadata.name === name);
  return [{ from: object.kind, to: `${kind} ${name}`, exists }];
}

function portLinks(service: IService, objects: readonly KubernetesObject[]): Link[] {
  const open = relayContainer(objects).ports ?? [];
  return (service.spec?.ports ?? []).map(({ targetPort }) => ({
    from: `Service ${service.metadata?.name}`,
    to: `port ${targetPort} of the relay`,
    exists: open.some(({ name, containerPort }) => targetPort === name || targetPort === containerPort),
  }));
}

function backendLinks(ingress: IIngress, objects: readonly KubernetesObject[]): Link[] {
  const services = objects.filter(({ kind }) => kind === "Service") as unknown as readonly IService[];
  const paths = (ingress.spec?.rules ?? []).flatMap(({ http }) => http?.paths ?? []);
  return paths.map(({ backend }) => {
    const { name, port } = backend.service ?? {};
    const ports = services.find(({ metadata }) => metadata?.name === name)?.spec?.ports ?? [];
    return {
      from: "Ingress",
      to: `port ${port?.name ?? port?.number} of ${name}`,
      exists: ports.some((each) => each.name === port?.name || each.port === port?.number),
    };
  });
}
