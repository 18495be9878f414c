import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { objectsIn } from "../support/deploy/helm.ts";
import { findLinks } from "../support/deploy/kubernetes-links.ts";
import { listeningPorts, printedByContainer, relayContainer } from "../support/deploy/kubernetes-relay.ts";
import { unknownFields, validateValues } from "../support/deploy/kubernetes-schemas.ts";

const manifests = fileURLToPath(new URL("../../deploy/kubernetes", import.meta.url));
const files = readdirSync(manifests);
const objectsOf = (file: string) => objectsIn(readFileSync(join(manifests, file), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "sfp-kubernetes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(files)("%s", (file) => {
  test("conforms to the Kubernetes schemas, without unknown fields", async () => {
    for (const object of objectsOf(file)) await validateValues(object);
    expect(unknownFields(objectsOf(file))).toBe("");
  });

  test("refers only to objects that exist", () => {
    const relay = objectsOf(file).filter(({ metadata }) => metadata.name !== "app");
    expect(findLinks(relay).filter(({ exists }) => !exists)).toEqual([]);
  });

  test("starts a relay that listens on the declared ports and has its SDK keys", async () => {
    const { exitCode, stdout, stderr } = await printedByContainer(objectsOf(file), join(folder, file));
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).not.toContain("unknown environment variable");
    const declared = (relayContainer(objectsOf(file)).ports ?? []).map(({ containerPort }) => containerPort);
    expect(declared).toEqual(listeningPorts(stdout));
    expect(stdout).toMatch(/^preload-sdk-keys: "@.*sdk-keys" {2}# SFP_PRELOAD_SDK_KEYS$/m);
  });
});

test("passive.yaml is a fleet that writes to Redis", async () => {
  const { stdout } = await printedByContainer(objectsOf("passive.yaml"), join(folder, "passive"));
  expect(stdout).toContain("cache: redis  # <CACHE>");
  expect(stdout).toContain("fleet-polling: true  # --fleet-polling");
  expect(stdout).toContain("# REDIS_URL=redis://redis:6379");
});
