import {
  type ChartRow,
  CONTAINER,
  differs,
  POD,
  type RejectedRow,
  SAME,
  type Values,
} from "../support/drop-in/chart-row.ts";
import { POD_ROWS } from "./chart-pod.rows.ts";
import { PROBE_AND_HOOK_ROWS, PROCESS_ROWS } from "./chart-process.rows.ts";

const BACKEND = ["Ingress", "spec", "rules", 0, "http", "paths", 0, "backend", "service", "port"] as const;
const NAME = "app.kubernetes.io/name";
const INSTANCE = "app.kubernetes.io/instance";
const ingress = (path: Values): Values => ({
  ingress: { enabled: true, hosts: [{ host: "a.example", paths: [{ path: "/", ...path }] }] },
});

const names: readonly ChartRow[] = [
  {
    name: "name of the objects",
    original: "release and chart",
    ...SAME,
    at: ["Deployment", "metadata", "name"],
    is: "relays-statsig-forward-proxy",
  },
  {
    name: "selector",
    original: "name and release, which cannot change in an upgrade",
    ...SAME,
    at: ["Deployment", "spec", "selector", "matchLabels"],
    is: { [NAME]: "statsig-forward-proxy", [INSTANCE]: "relays" },
  },
  {
    name: "name of the container",
    original: "the chart's",
    ...SAME,
    at: [...CONTAINER, "name"],
    is: "statsig-forward-proxy",
  },
  {
    name: "nameOverride",
    original: "replaces the chart's name",
    ...SAME,
    values: { nameOverride: "proxy" },
    at: ["Service", "metadata", "name"],
    is: "relays-proxy",
  },
  {
    name: "fullnameOverride",
    original: "is the name",
    ...SAME,
    values: { fullnameOverride: "edge" },
    at: ["ServiceAccount", "metadata", "name"],
    is: "edge",
  },
  {
    name: "services",
    original: "one",
    ...differs("a second one for the management port", "objects of the chart"),
    at: ["Service/relays-statsig-forward-proxy-management", "spec", "ports", 0, "port"],
    is: 8001,
  },
];

const scheduling: readonly ChartRow[] = [
  {
    name: "pod.topologySpreadConstraints",
    original: "selects the pods of the release",
    ...SAME,
    values: {
      pod: {
        topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" }],
      },
    },
    at: [...POD, "topologySpreadConstraints", 0],
    is: {
      maxSkew: 1,
      topologyKey: "zone",
      whenUnsatisfiable: "DoNotSchedule",
      labelSelector: { matchLabels: { [NAME]: "statsig-forward-proxy", [INSTANCE]: "relays" } },
    },
  },
  {
    name: "pod.topologySpreadConstraints: []",
    original: "none",
    ...SAME,
    values: { pod: { topologySpreadConstraints: [] } },
    at: [...POD, "topologySpreadConstraints"],
    is: undefined,
  },
  {
    name: "pod.topologySpreadConstraints by default",
    original: "none",
    ...differs("spread over nodes", "`pod.topologySpreadConstraints`"),
    at: [...POD, "topologySpreadConstraints", 0, "topologyKey"],
    is: "kubernetes.io/hostname",
  },
  {
    name: "pod.pdb.minAvailable",
    original: "is set",
    ...SAME,
    values: { pod: { pdb: { enabled: true, minAvailable: "50%" } } },
    at: ["PodDisruptionBudget", "spec", "minAvailable"],
    is: "50%",
  },
  {
    name: "pod.pdb.maxUnavailable",
    original: "is set",
    ...SAME,
    values: { pod: { pdb: { enabled: true, maxUnavailable: 2 } } },
    at: ["PodDisruptionBudget", "spec", "maxUnavailable"],
    is: 2,
  },
  {
    name: "pod.pdb.enabled: false",
    original: "no budget",
    ...SAME,
    values: { pod: { pdb: { enabled: false } } },
    at: ["PodDisruptionBudget"],
    is: undefined,
  },
  {
    name: "pod.pdb by default",
    original: "none",
    ...differs("at most one pod unavailable", "`pod.pdb`"),
    at: ["PodDisruptionBudget", "spec", "maxUnavailable"],
    is: 1,
  },
  {
    name: "autoscaling",
    original: "replaces replicaCount",
    ...SAME,
    values: { autoscaling: { enabled: true, maxReplicas: 7 } },
    at: ["HorizontalPodAutoscaler", "spec", "maxReplicas"],
    is: 7,
  },
  {
    name: "autoscaling.targetMemoryUtilizationPercentage",
    original: "adds memory",
    ...SAME,
    values: { autoscaling: { enabled: true, targetMemoryUtilizationPercentage: 80 } },
    at: ["HorizontalPodAutoscaler", "spec", "metrics", 1, "resource", "target"],
    is: { type: "Utilization", averageUtilization: 80 },
  },
  {
    name: "autoscaling metrics by default",
    original: "CPU and memory, 80 %",
    ...differs("CPU, 70 %", "`autoscaling`"),
    values: { autoscaling: { enabled: true } },
    at: ["HorizontalPodAutoscaler", "spec", "metrics", 1],
    is: undefined,
  },
];

const network: readonly ChartRow[] = [
  {
    name: "service.type, service.annotations",
    original: "are set",
    ...SAME,
    values: { service: { type: "LoadBalancer", annotations: { internal: "true" } } },
    at: ["Service", "spec", "type"],
    is: "LoadBalancer",
  },
  {
    name: "service.ports with targetPort",
    original: "are set",
    ...SAME,
    values: { service: { ports: [{ name: "http", port: 80, targetPort: 8000 }] } },
    at: ["Service", "spec", "ports", 0],
    is: { name: "http", port: 80, targetPort: 8000, protocol: "TCP" },
  },
  {
    name: "ports of the container",
    original: "the target ports",
    ...SAME,
    values: { service: { ports: [{ name: "http", port: 80, targetPort: 8000, protocol: "TCP" }] } },
    at: [...CONTAINER, "ports", 0],
    is: { name: "http", containerPort: 8000, protocol: "TCP" },
  },
  {
    name: "an ingress path with portName",
    original: "names the port",
    ...SAME,
    values: ingress({ portName: "grpc" }),
    at: BACKEND,
    is: { name: "grpc" },
  },
  {
    name: "an ingress path with port",
    original: "numbers the port",
    ...SAME,
    values: ingress({ port: 50051 }),
    at: BACKEND,
    is: { number: 50051 },
  },
  {
    name: "an ingress path with both",
    original: "the name",
    ...SAME,
    values: ingress({ portName: "http", port: 8000 }),
    at: BACKEND,
    is: { name: "http" },
  },
  {
    name: "an ingress path with neither, as in 4.1",
    original: "the first port of the service",
    ...SAME,
    values: ingress({ pathType: "ImplementationSpecific" }),
    at: BACKEND,
    is: { name: "http" },
  },
  {
    name: "ingress.className",
    original: "is set",
    ...SAME,
    values: { ingress: { enabled: true, className: "nginx" } },
    at: ["Ingress", "spec", "ingressClassName"],
    is: "nginx",
  },
  {
    name: "ingress.tls",
    original: "is set",
    ...SAME,
    values: { ingress: { enabled: true, tls: [{ hosts: ["a.example"], secretName: "tls" }] } },
    at: ["Ingress", "spec", "tls"],
    is: [{ hosts: ["a.example"], secretName: "tls" }],
  },
];

/** Values that an operator may leave empty, as `volumes:` without entries. */
const EMPTY = {
  imagePullSecrets: null,
  nameOverride: null,
  fullnameOverride: null,
  pod: {
    annotations: null,
    labels: null,
    securityContext: null,
    priorityClassName: null,
    topologySpreadConstraints: null,
  },
  terminationGracePeriodSeconds: null,
  securityContext: null,
  service: { annotations: null },
  ingress: { enabled: true, className: null, annotations: null, tls: null },
  resources: null,
  volumes: null,
  volumeMounts: null,
  nodeSelector: null,
  tolerations: null,
  affinity: null,
  sfp: {
    environment: null,
    args: null,
    environmentVariables: null,
    secrets: null,
    envFromSecret: null,
    livenessProbe: null,
    readinessProbe: null,
    startupProbe: null,
    lifecycle: null,
    volumes: null,
    volumeMounts: null,
  },
};

export const CHART_ROWS: readonly ChartRow[] = [
  ...names,
  ...POD_ROWS,
  ...scheduling,
  ...network,
  ...PROCESS_ROWS,
  ...PROBE_AND_HOOK_ROWS,
  {
    name: "values without a value",
    original: "are left out",
    ...SAME,
    values: EMPTY,
    at: [...CONTAINER, "livenessProbe"],
    is: undefined,
  },
];

export const REJECTED_ROWS: readonly RejectedRow[] = [
  {
    name: "an unknown value",
    original: "is ignored",
    ...differs("Helm rejects it", "unknown values"),
    values: { sfp: { arguments: ["http"] } },
    reason: "additional properties 'arguments' not allowed",
  },
  {
    name: "a number in quotes",
    original: "is a number",
    ...differs("Helm rejects it", "unknown values"),
    values: { service: { ports: [{ name: "http", port: "8000" }] } },
    reason: "at '/service/ports/0/port': got string, want integer",
  },
  {
    name: "pod.pdb with minAvailable and maxUnavailable",
    original: "renders both, which Kubernetes rejects",
    ...differs("Helm rejects it", "`pod.pdb`"),
    values: { pod: { pdb: { enabled: true, minAvailable: 1, maxUnavailable: 1 } } },
    reason: "Kubernetes allows one of them",
  },
  {
    name: "Kubernetes 1.24",
    original: "installs",
    ...differs("Helm rejects it", "Kubernetes"),
    kubernetes: "1.24.17",
    reason: "requires kubeVersion: >=1.25.0-0",
  },
];
