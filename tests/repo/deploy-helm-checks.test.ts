import { beforeAll, describe, expect, test } from "bun:test";
import { fetchHelm, hasHelm } from "../../scripts/release/helm.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { chartFolder, helm, rendered } from "../support/deploy/helm.ts";
import { podOf } from "../support/deploy/kubernetes-relay.ts";

const isMissing = (process.env["SFP_TEST_MISSING"] ?? "").split(",").includes("unzip");

type Sets = readonly string[];

/** Returns Helm's arguments; a value in brackets is JSON. */
const toArgs = (sets: Sets) => sets.flatMap((set) => [/=[[{]/.test(set) ? "--set-json" : "--set", set]);

/** Values that open more than intended, or break in the pod, and what Helm says. */
const REJECTED: readonly (readonly [Sets, string])[] = [
  [["replicacount=2"], "at '': additional properties 'replicacount' not allowed"],
  [["image.name=relay"], "at '/image': additional properties 'name' not allowed"],
  [["replicaCount=two"], "at '/replicaCount': got string, want integer"],
  [["servingThreads=0"], "at '/servingThreads'"],
  [["servingThreads=all"], "at '/servingThreads'"],
  [["sfp.environment.A.valueFrom=x"], "at '/sfp/environment/A': got object, want"],
  // Options and variables.
  [["sfp.config.allowed-sdk-key=x"], "at '/sfp/config': additional properties 'allowed-sdk-key' not allowed"],
  [["sfp.config.polling-interval-in-s=fast"], "at '/sfp/config/polling-interval-in-s'"],
  [["sfp.config.idle-timeout-in-s=-1"], "at '/sfp/config/idle-timeout-in-s'"],
  [["sfp.config.log-format=xml"], "at '/sfp/config/log-format': value must be one of 'text', 'json'"],
  [["sfp.config.allowed-sdk-keys="], "at '/sfp/config/allowed-sdk-keys'"],
  [["sfp.config.config=/other"], "additional properties 'config' not allowed"],
  [['sfp.args=["http","local","--alowed-sdk-keys=x"]'], "sfp.args: --alowed-sdk-keys is not an option"],
  [['sfp.args=["htp","local"]'], 'sfp.args begins with "htp": expected a MODE'],
  [['sfp.args=["http","locla"]'], 'sfp.args has "locla" after the MODE: expected a CACHE'],
  [["sfp.environment.SFP_ALOWED_SDK_KEYS=x"], "sfp: SFP_ALOWED_SDK_KEYS is not a variable"],
  [['sfp.environmentVariables=[{"name":"SFP_MOD","value":"http"}]'], "sfp: SFP_MOD is not a variable"],
  [
    ['sfp.secrets=[{"envName":"SFP_KEYS","secretName":"a","secretKey":"b"}]'],
    "sfp: SFP_KEYS is not a variable",
  ],
  [
    ["servingThreads=2", "sfp.environment.SFP_SERVING_THREADS=4"],
    "SFP_SERVING_THREADS is set in sfp, and by",
  ],
  [
    ["sdkKeys.secretName=a", 'sfp.environmentVariables=[{"name":"SFP_PRELOAD_SDK_KEYS","value":"secret-b"}]'],
    "the variable SFP_PRELOAD_SDK_KEYS is set in sfp, and by another value of the chart too",
  ],
  // What is served, and to whom.
  [["sdkKeys.allowOnly=true"], "sdkKeys.allowOnly needs sdkKeys.secretName"],
  [
    ["sdkKeys.allowOnly=true", "sdkKeys.secretName=a", "sfp.config.allowed-sdk-keys=secret-b"],
    "sdkKeys.allowOnly and allowed-sdk-keys in sfp are both set",
  ],
  [["sfp.environment.SFP_ALLOWED_SDK_KEYS="], "sfp.environment.SFP_ALLOWED_SDK_KEYS is empty"],
  [["tls.enabled=true"], "tls.enabled needs tls.secretName"],
  [["tls.secretName=a"], "tls has settings, but tls.enabled is false"],
  [["tls.enforceMtls=true"], "tls has settings, but tls.enabled is false"],
  [["tls.enabled=true", "tls.secretName=a", "tls.enforceMtls=true"], "tls.enforceMtls needs tls.clientCaKey"],
  // Ports.
  [
    ["sfp.config.http-port=9000"],
    "service.ports: http leads to port 8000 of the relay, which listens on 9000",
  ],
  [["sfp.environment.SFP_GRPC_PORT=9000"], "service.ports: grpc leads to port 50051 of the relay"],
  [['sfp.args=["http","local","--http-port=80"]'], "which listens on 80, 50051, 8001"],
  [['service.ports=[{"name":"http","port":80}]'], "service.ports: http leads to port 80"],
  [['service.ports=[{"name":"management","port":8000}]'], "service.ports: the name management"],
  [['service.ports=[{"name":"a","port":8000},{"name":"b","port":8000}]'], "the port 8000 is there twice"],
  [
    ["tls.enabled=true", "tls.secretName=a", "sfp.config.https-port=443"],
    "service.ports: http leads to port 8443",
  ],
  [["sfp.environment.SFP_MANAGEMENT_PORT=0"], "sfp.livenessProbe asks port 8001, but management-port is 0"],
  [
    ["ingress.enabled=true", 'ingress.hosts=[{"paths":[{"path":"/","portName":"web"}]}]'],
    "the service has no port with the name web. It has http, grpc",
  ],
  [
    ["ingress.enabled=true", 'ingress.hosts=[{"paths":[{"path":"/","port":80}]}]'],
    "the service has no port 80. It has 8000, 50051",
  ],
  // Storage.
  [['sfp.args=["http","redis"]'], "CACHE is redis, but there is no address of Redis"],
  [["sfp.args=null", "sfp.environment.SFP_CACHE=redis"], "CACHE is redis, but there is no address of Redis"],
  [["sfp.config.fleet-polling=true"], "--fleet-polling needs CACHE redis"],
  [["data.existingClaim=a"], "data.existingClaim is for one relay, since no two can use the same files"],
  [
    ["data.existingClaim=a", "replicaCount=1", "autoscaling.enabled=true"],
    "data.existingClaim is for one relay, since no two can use the same files, but there may be 10",
  ],
  [
    ["bootstrap.volume.configMap.name=a", "bootstrap.volume.emptyDir.medium=Memory"],
    "at '/bootstrap/volume'",
  ],
  // Replicas.
  [["autoscaling.enabled=true", "autoscaling.minReplicas=11"], "autoscaling.minReplicas is 11, above"],
  [["autoscaling.enabled=true", "autoscaling.targetCPUUtilizationPercentage=0"], "autoscaling has no target"],
  [["pod.pdb.minAvailable=1", "pod.pdb.maxUnavailable=1"], "Kubernetes allows one of them"],
  [["pod.pdb.maxUnavailable=0"], "pod.pdb allows no eviction with 2 replicas"],
  [["pod.pdb.maxUnavailable=0%"], "pod.pdb allows no eviction"],
  [["pod.pdb.minAvailable=2"], "pod.pdb allows no eviction"],
  [["pod.pdb.minAvailable=51%"], "pod.pdb allows no eviction"],
  [["autoscaling.enabled=true", "pod.pdb.minAvailable=2"], "pod.pdb allows no eviction with 2 replicas"],
];

/** Values beside those that are rejected, which work. */
const ACCEPTED: readonly Sets[] = [
  ["sdkKeys.secretName=a", "sdkKeys.allowOnly=true"],
  ["sfp.config.http-port=9000", 'service.ports=[{"name":"http","port":80,"targetPort":9000}]'],
  ['service.ports=[{"name":"grpc","port":50051}]', 'sfp.args=["grpc","local"]'],
  [
    "tls.enabled=true",
    "tls.secretName=a",
    "sfp.config.enforce-tls=false",
    'service.ports=[{"name":"http","port":80,"targetPort":8000}]',
  ],
  ['sfp.args=["offline","http","local"]'],
  ['sfp.args=["--enforce-tls","http","disabled","-p","5"]'],
  ['sfp.args=["http","redis"]', "sfp.envFromSecret=a"],
  ['sfp.args=["http","redis"]', 'sfp.secrets=[{"envName":"REDIS_URL","secretName":"a","secretKey":"b"}]'],
  ["sfp.args=null", "sfp.config.cache=redis", "sfp.environment.REDIS_ENTERPRISE_HOST=redis"],
  ["data.existingClaim=a", "replicaCount=1"],
  ["pod.pdb.minAvailable=1"],
  ["pod.pdb.minAvailable=50%"],
  ["pod.pdb.minAvailable=9", "pod.pdb.enabled=false"],
  ["replicaCount=0"],
  ["sfp.config.update-batch-size=5", "sfp.config.polling-interval-in-s=1000000"],
  [
    "sfp.environment.SFP_MANAGEMENT_PORT=0",
    "sfp.livenessProbe=null",
    "sfp.readinessProbe=null",
    "sfp.startupProbe=null",
  ],
];

describe.skipIf(!hasHelm || isMissing)("values that would fail open or break in the pod", () => {
  beforeAll(async () => {
    await fetchHelm();
  }, 300_000);

  test.each(REJECTED)("%p are rejected", async (sets, problem) => {
    const { exitCode, stderr } = await helm("template", "relays", chartFolder, ...toArgs(sets));
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(problem)]);
  });

  test.each(ACCEPTED.map((sets) => [sets] as const))("%p are accepted", async (sets) => {
    expect((await rendered(...toArgs(sets))).length).toBeGreaterThan(3);
  });

  test("every option of the relay may stand in sfp.config with its default", async () => {
    const config = Object.fromEntries(
      OPTIONS.filter((option) => option.default !== undefined).map((option) => [option.name, option.default]),
    );
    const args = ["--set-json", `sfp.config=${JSON.stringify(config)}`];
    expect(Object.keys(config).length).toBeGreaterThan(40);
    expect((await rendered(...args)).length).toBeGreaterThan(3);
  });

  test("no variable of another service gets into the pod", async () => {
    expect(podOf(await rendered()).spec?.enableServiceLinks).toBe(false);
  });

  test("the token and the files for the worst case are mounted", async () => {
    const objects = await rendered(
      ...toArgs(["managementToken.secretName=relay-token", "bootstrap.volume.configMap.name=config-specs"]),
    );
    const [container] = podOf(objects).spec?.containers ?? [];
    expect(container?.env).toEqual([
      { name: "SFP_MANAGEMENT_TOKEN", valueFrom: { secretKeyRef: { name: "relay-token", key: "token" } } },
      { name: "SFP_BOOTSTRAP_PATH", value: "/etc/statsig-forward-proxy/bootstrap" },
    ]);
    expect(podOf(objects).spec?.volumes).toContainEqual({
      name: "bootstrap",
      configMap: { name: "config-specs" },
    });
  });
});
