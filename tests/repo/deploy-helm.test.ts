import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { ALERTS_PATH, RUNBOOK_BASE } from "../../scripts/gen/alert-rules.ts";
import { fetchHelm, hasHelm } from "../../scripts/release/helm.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { chartValues, describedValues } from "../support/deploy/chart-values.ts";
import { chartFolder, helm, rendered } from "../support/deploy/helm.ts";
import { findLinks } from "../support/deploy/kubernetes-links.ts";
import {
  listeningPorts,
  podOf,
  printedByContainer,
  relayContainer,
} from "../support/deploy/kubernetes-relay.ts";
import {
  type KubernetesObject,
  unknownFields,
  validateValues,
} from "../support/deploy/kubernetes-schemas.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";

const cases = readdirSync(join(chartFolder, "ci"));
const valuesOf = (file: string) => ["--values", join(chartFolder, "ci", file)];
const folder = mkdtempSync(join(tmpdir(), "sfp-helm-"));
const results = new Map<string, KubernetesObject[]>();
const resultOf = (file: string) => results.get(file) ?? [];
const isMissing = (process.env["SFP_TEST_MISSING"] ?? "").split(",").includes("unzip");

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!hasHelm || isMissing)(
  "the Helm chart (checked where Helm for tests runs: Linux on x64)",
  () => {
    beforeAll(async () => {
      await fetchHelm();
      for (const file of cases) results.set(file, await rendered(...valuesOf(file)));
    }, 300_000);

    test.each(cases)("passes helm lint with %s", async (file) => {
      const { exitCode, stdout } = await helm("lint", "--strict", chartFolder, ...valuesOf(file));
      expect([exitCode, stdout]).toEqual([
        0,
        expect.stringContaining("1 chart(s) linted, 0 chart(s) failed"),
      ]);
    });

    test.each(cases)("renders valid Kubernetes objects with %s", async (file) => {
      for (const object of resultOf(file)) {
        await validateValues(object);
        expect(object.metadata.name).toMatch(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/);
      }
      expect(resultOf(file).map(({ kind }) => kind)).toEqual(
        expect.arrayContaining(["Deployment", "Service"]),
      );
    });

    test("sets no unknown field", () => {
      expect(unknownFields([...results.values()].flat())).toBe("");
      const [first] = resultOf("defaults.yaml");
      expect(unknownFields([{ ...first, spek: {} } as unknown as KubernetesObject])).toContain("'\"spek\"'");
    });

    test.each(cases)("gives the relay a valid environment and arguments with %s", async (file) => {
      const { exitCode, stdout, stderr } = await printedByContainer(resultOf(file), join(folder, file));
      expect([exitCode, stderr]).toEqual([0, ""]);
      expect(stdout).not.toContain("unknown environment variable");
      const declared = (relayContainer(resultOf(file)).ports ?? []).map(({ containerPort }) => containerPort);
      expect(declared).toEqual(expect.arrayContaining(listeningPorts(stdout)));
    });

    test.each(cases)("refers only to objects that exist with %s", (file) => {
      const links = findLinks(resultOf(file));
      expect(links.filter(({ exists }) => !exists)).toEqual([]);
      expect(links.length).toBeGreaterThan(3);
    });

    test("keeps numbers and lists of the values unchanged", async () => {
      const { stdout } = await printedByContainer(resultOf("config-file.yaml"), join(folder, "numbers"));
      expect(stdout).toContain("maximum-concurrent-sdk-keys: 1000000  # ");
      const env = relayContainer(resultOf("http-only.yaml")).env ?? [];
      expect(env).toContainEqual({ name: "SFP_MAXIMUM_CONCURRENT_SDK_KEYS", value: "1000000" });
      expect(env).toContainEqual({ name: "SFP_DEBUG_LOGGING", value: "true" });
    });

    test("sets the number of serving threads only if the values do", async () => {
      const { stdout } = await printedByContainer(resultOf("http-only.yaml"), join(folder, "threads"));
      expect(stdout).toMatch(/^serving-threads: "4" {2}# SFP_SERVING_THREADS$/m);
      const byDefault = await printedByContainer(resultOf("defaults.yaml"), join(folder, "auto"));
      expect(byDefault.stdout).toMatch(/^serving-threads: auto {2}# default$/m);
      const names = (relayContainer(resultOf("defaults.yaml")).env ?? []).map(({ name }) => name);
      expect(names).not.toContain("SFP_SERVING_THREADS");
    });

    test("reads keys, certificates and Redis from the configured places", async () => {
      const fleet = await printedByContainer(resultOf("redis-fleet.yaml"), join(folder, "fleet"));
      expect(fleet.stdout).toMatch(/^preload-sdk-keys: "@.*sdk-keys" {2}# SFP_PRELOAD_SDK_KEYS$/m);
      expect(fleet.stdout).toMatch(/^allowed-sdk-keys: "@.*sdk-keys" {2}# SFP_ALLOWED_SDK_KEYS$/m);
      expect(fleet.stdout).toContain("# REDIS_ENTERPRISE_PASSWORD=…");
      const mutual = await printedByContainer(resultOf("mutual-tls.yaml"), join(folder, "mutual"));
      expect(mutual.stdout).toContain("enforce-mtls: true  # SFP_ENFORCE_MTLS");
      expect(mutual.stdout).toMatch(/^x509-client-cert-path: .*ca\.crt {2}# SFP_X509_CLIENT_CERT_PATH$/m);
    });

    test.each([
      ["{}", { preStop: { sleep: { seconds: 5 } } }],
      ['{"preStop":null}', undefined],
      ['{"preStop":{"sleep":{"seconds":9}}}', { preStop: { sleep: { seconds: 9 } } }],
      [
        '{"postStart":{"exec":{"command":["sleep","1"]}}}',
        { postStart: { sleep: { seconds: 1 } }, preStop: { sleep: { seconds: 5 } } },
      ],
    ])("merges sfp.lifecycle=%s with the preStop hook", async (lifecycle, expected) => {
      const objects = await rendered("--set-json", `sfp.lifecycle=${lifecycle}`);
      expect(relayContainer(objects).lifecycle).toEqual(expected);
    });

    test("with TLS closes the plaintext ports, unless the values open them", async () => {
      const enforced = (objects: KubernetesObject[]) =>
        (relayContainer(objects).env ?? []).filter(({ name }) => name === "SFP_ENFORCE_TLS");
      expect(enforced(resultOf("tls.yaml"))).toEqual([{ name: "SFP_ENFORCE_TLS", value: "true" }]);
      const { stdout } = await printedByContainer(resultOf("tls.yaml"), join(folder, "enforced"));
      expect(stdout).toMatch(/^enforce-tls: true {2}# SFP_ENFORCE_TLS$/m);
      const inVariable = await rendered(
        ...valuesOf("tls.yaml"),
        "--set-string",
        "sfp.environment.SFP_ENFORCE_TLS=false",
      );
      expect(enforced(inVariable)).toEqual([{ name: "SFP_ENFORCE_TLS", value: "false" }]);
      const inFile = await rendered(...valuesOf("tls.yaml"), "--set", "sfp.config.enforce-tls=false");
      expect(enforced(inFile)).toEqual([]);
      expect(enforced(resultOf("defaults.yaml"))).toEqual([]);
    });

    test("warns of the original's image, and of commands that the image does not have", async () => {
      const probe = 'sfp.livenessProbe={"exec":{"command":["/bin/sh","-c","curl localhost"]}}';
      const args = ["--set", "image.repository=statsig/statsig-forward-proxy", "--set-json", probe];
      const { stdout } = await helm("install", "relays", chartFolder, "--dry-run=client", ...args);
      expect(stdout).toContain("WARNING: image.repository is the image of the original proxy.");
      expect(stdout).toContain("WARNING: sfp.livenessProbe runs /bin/sh, which the image does not have.");
      const quiet = await helm("install", "relays", chartFolder, "--dry-run=client");
      expect([quiet.exitCode, quiet.stdout]).toEqual([0, expect.not.stringContaining("WARNING")]);
      expect(quiet.stdout).not.toContain("CACHE is disabled");
      const values = valuesOf("http-only.yaml");
      const { stdout: notes } = await helm("install", "relays", chartFolder, "--dry-run=client", ...values);
      expect(notes).toContain("CACHE is disabled: a container that restarts");
    });

    test("replaces pods only when the configuration file changes", async () => {
      const checksum = async (...args: string[]) =>
        podOf(await rendered(...args)).metadata?.annotations?.["checksum/config"];
      const before = await checksum("--set", "sfp.config.log-level=warn");
      expect(before).toMatch(/^[0-9a-f]{64}$/);
      expect(await checksum("--set", "sfp.config.log-level=warn", "--set", "replicaCount=5")).toBe(before);
      expect(await checksum("--set", "sfp.config.log-level=error")).not.toBe(before);
    });

    test("probes paths that the relay serves, with the original values too", async () => {
      const probesOf = (file: string) => {
        const { livenessProbe, readinessProbe, startupProbe } = relayContainer(resultOf(file));
        return [livenessProbe, readinessProbe, startupProbe].map((probe) => probe?.httpGet);
      };
      const args = ["--management-port", String(await freePort())];
      await using relay = await startRelayProcess({ args });
      const urlOf: Record<string, string> = { management: relay.urlOf("management"), 8000: relay.httpUrl };
      const probes = [...probesOf("defaults.yaml"), ...probesOf("original-values.yaml")];
      for (const probe of probes) {
        const { status } = await rawGet(`${urlOf[probe?.port ?? ""]}${probe?.path}`);
        expect([probe, status]).toEqual([probe, 200]);
      }
      expect(probes).toHaveLength(6);
    });

    test("gives a pod enough time to stop and enough space for its files", async () => {
      const { stdout } = await runRelay(["--print-config", "grpc-and-http", "local"]);
      const defaultOf = (name: string) => Number(new RegExp(`^${name}: (\\d+)`, "m").exec(stdout)?.[1]);
      const { spec } = podOf(resultOf("defaults.yaml"));
      const preStopS = spec?.containers[0]?.lifecycle?.preStop?.sleep?.seconds ?? 0;
      expect(spec?.terminationGracePeriodSeconds).toBeGreaterThan(
        preStopS + defaultOf("shutdown-delay-in-s") + defaultOf("shutdown-grace-in-s"),
      );
      const sizes = ["local-cache-max-in-mb", "id-lists-max-in-mb", "event-spool-max-in-mb"].map(defaultOf);
      const room = spec?.volumes?.find(({ name }) => name === "data")?.emptyDir?.sizeLimit ?? "";
      expect(Number(/^(\d+)Gi$/.exec(String(room))?.[1]) * 1024).toBeGreaterThan(
        sizes.reduce((sum, size) => sum + size),
      );
    });

    test("alerts with the shipped rules, under the runbook address of the values", () => {
      const rule = resultOf("redis-fleet.yaml").find(({ kind }) => kind === "PrometheusRule");
      const { groups } = (rule as unknown as { spec: { groups: unknown } }).spec;
      const shipped = readFileSync(ALERTS_PATH, "utf8");
      const address = "https://git.example.com/relay/blob/v1";
      expect(groups).toEqual(parse(shipped.replaceAll(RUNBOOK_BASE, address)).groups);
      expect(JSON.stringify(groups)).toContain(`"${address}/docs/monitoring.md#statsigrelaydown"`);
    });

    test("runs the image with its user and its volume", () => {
      const dockerfile = readFileSync(join(chartFolder, "../../../Dockerfile"), "utf8");
      const { spec } = podOf(resultOf("defaults.yaml"));
      const { runAsUser, runAsGroup } = spec?.securityContext ?? {};
      expect(dockerfile).toContain(`USER ${runAsUser}:${runAsGroup}\n`);
      const data = relayContainer(resultOf("defaults.yaml")).volumeMounts?.find(
        ({ name }) => name === "data",
      );
      expect(dockerfile).toContain(`VOLUME ${data?.mountPath}\n`);
    });
  },
);

test("the chart's README lists exactly the values with their defaults", () => {
  const values: unknown = parse(readFileSync(join(chartFolder, "values.yaml"), "utf8"));
  const readme = readFileSync(join(chartFolder, "README.md"), "utf8");
  expect(describedValues(readme)).toEqual(chartValues(values));
});

test("the chart and its app have the version of the relay", async () => {
  const chart = parse(readFileSync(join(chartFolder, "Chart.yaml"), "utf8")) as Record<string, unknown>;
  const { version } = (await Bun.file(join(chartFolder, "../../../package.json")).json()) as {
    version: string;
  };
  expect([chart["version"], chart["appVersion"]]).toEqual([version, version]);
});
