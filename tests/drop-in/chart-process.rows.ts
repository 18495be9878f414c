import { type ChartRow, CONTAINER, differs, SAME, type Values } from "../support/drop-in/chart-row.ts";

const hooks = (lifecycle: unknown): Values => ({ sfp: { lifecycle } });
const preStop = (...command: string[]): Values => hooks({ preStop: { exec: { command } } });

export const PROCESS_ROWS: readonly ChartRow[] = [
  {
    name: "sfp.args",
    original: "are the arguments",
    ...SAME,
    values: { sfp: { args: ["http", "disabled", "--max-in-flight", "16"] } },
    at: [...CONTAINER, "args"],
    is: ["http", "disabled", "--max-in-flight", "16"],
  },
  {
    name: "sfp.args by default",
    original: "http disabled",
    ...differs("grpc-and-http local", "`sfp.args`"),
    at: [...CONTAINER, "args"],
    is: ["grpc-and-http", "local"],
  },
  {
    name: "a number in sfp.args",
    original: "renders a number, which Kubernetes rejects",
    ...differs("renders text", "numbers in `sfp.args`, `sfp.environment`"),
    values: { sfp: { args: ["http", "disabled", "-m", 1_000_000] } },
    at: [...CONTAINER, "args", 3],
    is: "1000000",
  },
  {
    name: "sfp.environment",
    original: "are variables",
    ...SAME,
    values: { sfp: { environment: { STATSIG_ENDPOINT: "https://cdn.example" } } },
    at: [...CONTAINER, "env"],
    is: [{ name: "STATSIG_ENDPOINT", value: "https://cdn.example" }],
  },
  {
    name: "a large number in sfp.environment",
    original: "renders 1e+06",
    ...differs("renders 1000000", "numbers in `sfp.args`, `sfp.environment`"),
    values: { sfp: { environment: { LOG_EVENT_DEDUPE_CACHE_LIMIT: 1_000_000 } } },
    at: [...CONTAINER, "env", 0, "value"],
    is: "1000000",
  },
  {
    name: "no value in sfp.environment",
    original: "an empty variable",
    ...SAME,
    values: { sfp: { environment: { REDIS_KEY_PREFIX: null } } },
    at: [...CONTAINER, "env"],
    is: [{ name: "REDIS_KEY_PREFIX", value: "" }],
  },
  {
    name: "sfp.environmentVariables",
    original: "are variables with valueFrom",
    ...SAME,
    values: {
      sfp: {
        environmentVariables: [{ name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
      },
    },
    at: [...CONTAINER, "env"],
    is: [{ name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
  },
  {
    name: "sfp.secrets",
    original: "are variables from secrets; an entry without envName is skipped",
    ...SAME,
    values: {
      sfp: {
        secrets: [
          { envName: "STATSIG_SERVER_SDK_KEY", secretName: "statsig", secretKey: "key" },
          { secretName: "statsig", secretKey: "other" },
        ],
      },
    },
    at: [...CONTAINER, "env"],
    is: [{ name: "STATSIG_SERVER_SDK_KEY", valueFrom: { secretKeyRef: { name: "statsig", key: "key" } } }],
  },
  {
    name: "sfp.envFromSecret",
    original: "a secret whose entries are variables",
    ...SAME,
    values: { sfp: { envFromSecret: "relay" } },
    at: [...CONTAINER, "envFrom"],
    is: [{ secretRef: { name: "relay" } }],
  },
];

const TWO_HANDLERS = { does: "the given handler only", subject: "a handler beside the default" };
const LIFECYCLE = "`sfp.lifecycle`";

export const PROBE_AND_HOOK_ROWS: readonly ChartRow[] = [
  {
    name: "sfp.livenessProbe",
    original: "is set",
    ...SAME,
    values: { sfp: { livenessProbe: { httpGet: { path: "/v1/health", port: 8000 } } } },
    at: [...CONTAINER, "livenessProbe"],
    is: { httpGet: { path: "/v1/health", port: 8000 } },
  },
  {
    name: "probes by default",
    original: "/v1/health, /v1/ready and /v1/startup on port 8000",
    ...differs("/healthz and /readyz on the management port", "probes"),
    at: [...CONTAINER, "readinessProbe"],
    is: { httpGet: { path: "/readyz", port: "management" }, periodSeconds: 5 },
  },
  {
    name: "an exec probe beside the default",
    original: "renders both handlers, which Kubernetes rejects",
    ours: TWO_HANDLERS,
    values: {
      sfp: { livenessProbe: { exec: { command: ["grpc-health-probe", "-addr=:50051"] } } },
    },
    at: [...CONTAINER, "livenessProbe"],
    is: { exec: { command: ["grpc-health-probe", "-addr=:50051"] } },
  },
  {
    name: "a grpc probe instead of the default",
    original: "is set, with httpGet: null",
    ...SAME,
    values: { sfp: { startupProbe: { httpGet: null, grpc: { port: 50051 } } } },
    at: [...CONTAINER, "startupProbe", "grpc"],
    is: { port: 50051 },
  },
  {
    name: "sfp.lifecycle: []",
    original: "no hook",
    ...differs("a preStop hook that sleeps for 5 s", LIFECYCLE),
    values: hooks([]),
    at: [...CONTAINER, "lifecycle"],
    is: { preStop: { sleep: { seconds: 5 } } },
  },
  {
    name: "sfp.lifecycle: null",
    original: "no hook",
    ...SAME,
    values: hooks(null),
    at: [...CONTAINER, "lifecycle"],
    is: undefined,
  },
  {
    name: "preStop: sh -c 'sleep 30'",
    original: "runs the command",
    ...differs("the sleep action of Kubernetes", LIFECYCLE),
    values: preStop("sh", "-c", "sleep 30"),
    at: [...CONTAINER, "lifecycle"],
    is: { preStop: { sleep: { seconds: 30 } } },
  },
  {
    name: "preStop: /bin/sh -c 'sleep 30' before Kubernetes 1.30",
    original: "runs the command",
    ...differs("runs the sleep of the image", LIFECYCLE),
    values: preStop("/bin/sh", "-c", "sleep 30"),
    kubernetes: "1.25.0",
    at: [...CONTAINER, "lifecycle"],
    is: { preStop: { exec: { command: ["sleep", "30"] } } },
  },
  {
    name: "preStop by default before Kubernetes 1.30",
    original: "no hook",
    ...differs("runs the sleep of the image", LIFECYCLE),
    kubernetes: "1.29.4-gke.100",
    at: [...CONTAINER, "lifecycle"],
    is: { preStop: { exec: { command: ["sleep", "5"] } } },
  },
  {
    name: "preStop: a sleep above the grace period",
    original: "runs the command until the grace period ends",
    ...SAME,
    values: preStop("sh", "-c", "sleep 90"),
    at: [...CONTAINER, "lifecycle"],
    is: { preStop: { exec: { command: ["sleep", "90"] } } },
  },
  {
    name: "preStop: httpGet",
    original: "is set",
    ...SAME,
    values: hooks({ preStop: { httpGet: { path: "/v1/health", port: 8000 } } }),
    at: [...CONTAINER, "lifecycle"],
    is: { preStop: { httpGet: { path: "/v1/health", port: 8000 } } },
  },
  {
    name: "preStop: another command",
    original: "runs the command",
    ...SAME,
    values: preStop("statsig-forward-proxy", "healthcheck"),
    at: [...CONTAINER, "lifecycle"],
    is: { preStop: { exec: { command: ["statsig-forward-proxy", "healthcheck"] } } },
  },
];
