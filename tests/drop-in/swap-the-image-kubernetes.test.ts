import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasHelm } from "../../scripts/release/helm.ts";
import { chartFolder, helm, objectsIn } from "../support/deploy/helm.ts";
import { relayContainer } from "../support/deploy/kubernetes-relay.ts";
import type { KubernetesObject } from "../support/deploy/kubernetes-schemas.ts";
import { commandsIn, readGuide } from "../support/drop-in/guide.ts";

/** What a release of the original could have set, as `helm get values` prints it. */
const OLD_VALUES = `
replicaCount: 3
image:
  repository: statsig/statsig-forward-proxy
  tag: 4.1.0
fullnameOverride: statsig-forward-proxy
ingress:
  enabled: true
`;

const IMAGE = "registry.example.com/statsig-forward-proxy";
const TAG = "0.1.0";
const HELM_WITH_CHART = /^helm (?:install|upgrade) (\S+) deploy\/helm\/\S+ (.*)$/;
const KNOWN_COMMAND =
  /^(?:helm (?:get values|install|upgrade|uninstall) |kubectl (?:get|exec|rollout status|port-forward) deployment[/ ])/;

const commands = readGuide()
  .filter(({ kind }) => kind === "kubernetes")
  .flatMap(commandsIn);
const isMissing = (process.env["SFP_TEST_MISSING"] ?? "").split(",").includes("unzip");

describe.skipIf(!hasHelm || isMissing)(
  "the guide's commands for Kubernetes, against the rendered chart",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "sfp-swap-helm-"));
    const releases = new Map<string, readonly KubernetesObject[]>();
    const objectsOf = (release: string) => releases.get(release) ?? [];
    const deploymentOf = (release: string) => objectsOf(release).find(({ kind }) => kind === "Deployment");

    beforeAll(async () => {
      writeFileSync(join(folder, "old-values.yaml"), OLD_VALUES);
      for (const command of commands) {
        const [, release, flags] = HELM_WITH_CHART.exec(command) ?? [];
        if (release !== undefined && flags !== undefined) releases.set(release, await render(release, flags));
      }
    }, 300_000);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    test("all are of known kinds, and install a canary and upgrade the old release", () => {
      for (const command of commands) expect(command).toMatch(KNOWN_COMMAND);
      expect([...releases.keys()]).toEqual(["canary", "statsig-forward-proxy"]);
    });

    test("the canary is one relay without an ingress, the upgrade keeps the old values, and both have the new image", () => {
      expect(deploymentOf("canary")).toMatchObject({ spec: { replicas: 1 } });
      expect(deploymentOf("statsig-forward-proxy")).toMatchObject({ spec: { replicas: 3 } });
      const kindsOf = (release: string) => objectsOf(release).map(({ kind }) => kind);
      expect(kindsOf("canary")).not.toContain("Ingress");
      expect(kindsOf("statsig-forward-proxy")).toContain("Ingress");
      for (const release of releases.keys()) {
        expect(relayContainer(objectsOf(release)).image).toBe(`${IMAGE}:${TAG}`);
      }
    });

    test("deployments and ports that kubectl names are those of the chart", () => {
      const named = commands.flatMap((command) => /deployment[/ ](\S+)/.exec(command)?.[1] ?? []);
      const deployments = [...releases.keys()].map((release) => deploymentOf(release)?.metadata.name);
      expect(named.length).toBeGreaterThan(3);
      for (const name of named) expect(deployments).toContain(name);

      const forwarded = commands.flatMap((command) =>
        Array.from(command.matchAll(/ \d+:(\d+)\b/g), ([, port]) => Number(port)),
      );
      const ports = relayContainer(objectsOf("canary")).ports?.map(({ containerPort }) => containerPort);
      expect(forwarded.length).toBe(3);
      for (const port of forwarded) expect(ports).toContain(port);
    });

    /** Renders what a line of the guide would install. */
    async function render(release: string, flags: string): Promise<readonly KubernetesObject[]> {
      const args = flags
        .replace("old-values.yaml", join(folder, "old-values.yaml"))
        .replace("$IMAGE", IMAGE)
        .replace("$TAG", TAG)
        .split(" ");
      const { exitCode, stdout, stderr } = await helm("template", release, chartFolder, ...args);
      if (exitCode !== 0) throw new Error(stderr);
      return objectsIn(stdout);
    }
  },
);
