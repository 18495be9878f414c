type Values = Readonly<Record<string, unknown>>;

export type OriginalChart = "4.1" | "4.4";

const METADATA = { annotations: {}, labels: {} };
const SPREAD = {
  maxSkew: 1,
  topologyKey: "topology.kubernetes.io/zone",
  whenUnsatisfiable: "DoNotSchedule",
};
const SIZE = { cpu: "100m", memory: "128Mi" };
const WARM_UP = [{ sdk_key: "secret-client-key", path: "/v1/download_config_specs", encodings: ["gzip"] }];
const WARM_UP_VARIABLE = "SFP_STARTUP_WARMUP_KEYS_JSON";
const TUNED_ARGS = [
  ...["http", "disabled", "--http-request-timeout-in-s", "45", "--http-read-timeout-in-s", "20"],
  ...["--http-connect-timeout-in-s", "5", "--http-connection-pool-max-idle-per-host", "25"],
  ...["--polling-interval-in-s", "15", "--max-in-flight", "16", "--background-poll-item-spacing-ms", "25"],
  ...["--clear-datastore-on-unauthorized", "--id-list-file-refresh-observer-enabled"],
];

const probe = (path: string) => ({ httpGet: { path, port: 8000 } });

/** The whole values file of the original's chart, as operators copy it, with or without its commented examples. */
export function originalValues(chart: OriginalChart, withExamples: boolean): Values {
  const isNew = chart === "4.4";
  const example = (value: unknown, otherwise: unknown) => (withExamples ? value : otherwise);
  const backend = isNew ? { portName: "http", ...(withExamples && { port: 8000 }) } : {};
  return {
    replicaCount: 1,
    image: { repository: "statsig/statsig-forward-proxy", pullPolicy: "IfNotPresent", tag: "" },
    imagePullSecrets: [],
    nameOverride: "",
    fullnameOverride: "",
    serviceAccount: { create: true, automount: true, annotations: {}, name: "" },
    pod: {
      ...METADATA,
      securityContext: isNew ? { runAsNonRoot: true } : {},
      priorityClassName: "",
      pdb: { enabled: false, ...METADATA, minAvailable: "", maxUnavailable: "" },
      topologySpreadConstraints: example([SPREAD], []),
    },
    terminationGracePeriodSeconds: 60,
    securityContext: example({ runAsUser: 999, runAsGroup: 999, fsGroup: 999 }, {}),
    service: {
      type: "ClusterIP",
      annotations: {},
      ports: [
        { name: "http", port: 8000, protocol: "TCP" },
        { name: "grpc", port: 50051, protocol: "TCP" },
      ],
    },
    ingress: {
      enabled: withExamples,
      className: "",
      annotations: example({ "kubernetes.io/ingress.class": "nginx", "kubernetes.io/tls-acme": "true" }, {}),
      hosts: [
        {
          host: "chart-example.local",
          paths: [{ path: "/", pathType: "ImplementationSpecific", ...backend }],
        },
      ],
      tls: [],
    },
    resources: example({ limits: SIZE, requests: SIZE }, {}),
    autoscaling: {
      enabled: withExamples,
      minReplicas: 1,
      maxReplicas: 100,
      targetCPUUtilizationPercentage: 80,
      targetMemoryUtilizationPercentage: 80,
    },
    volumes: example([{ name: "foo", secret: { secretName: "mysecret", optional: false } }], []),
    volumeMounts: example([{ name: "foo", mountPath: "/etc/foo", readOnly: true }], []),
    nodeSelector: {},
    tolerations: [],
    affinity: {},
    sfp: sfpValues(isNew, withExamples),
  };
}

function sfpValues(isNew: boolean, withExamples: boolean): Values {
  const example = (value: unknown, otherwise: unknown) => (withExamples ? value : otherwise);
  const warmUp = { [WARM_UP_VARIABLE]: JSON.stringify(WARM_UP) };
  const key = "statsig-server-sdk-key";
  return {
    environment: example({ STATSIG_ENDPOINT: "https://api.statsigcdn.com", ...(isNew && warmUp) }, {}),
    args: isNew && withExamples ? TUNED_ARGS : ["http", "disabled"],
    environmentVariables: example(
      [{ name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
      [],
    ),
    secrets: example(
      [
        { envName: "STATSIG_SERVER_SDK_KEY", secretName: key, secretKey: key },
        ...(isNew
          ? [{ envName: WARM_UP_VARIABLE, secretName: "sfp-startup-warmup", secretKey: WARM_UP_VARIABLE }]
          : []),
      ],
      [],
    ),
    envFromSecret: example("statsig-proxy-secrets", null),
    livenessProbe: probe("/v1/health"),
    readinessProbe: probe("/v1/ready"),
    startupProbe: probe("/v1/startup"),
    lifecycle: example({ preStop: { exec: { command: ["sh", "-c", "sleep 30"] } } }, []),
  };
}
