import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { version } from "../../package.json";
import { readCompose } from "../support/deploy/compose.ts";
import { readFinalImage } from "../support/deploy/final-image.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const chart = "deploy/helm/statsig-forward-proxy";

/** What operators read or apply. The chart's examples have names of their own, and so has the application in passive.yaml. */
const FILES = [
  ...["README.md", "Dockerfile", "docs/deployment.md", "docs/binary-and-image.md", `${chart}/README.md`],
  ...["deploy/kubernetes/active.yaml", "deploy/kubernetes/passive.yaml", `${chart}/values.yaml`],
];
const textOf = (file: string) => readFileSync(join(root, file), "utf8");

test("an image has one of four names: as built here, in a registry of yours, and image and chart of a release", () => {
  // A registry is a host: it contains a dot. A URL is no image.
  const names = FILES.flatMap((file) =>
    Array.from(
      textOf(file).matchAll(/(?<![\w/.])([\w-]+\.[\w.-]+\/[\w/.-]*\w)(?=[:\s`,.])/g),
      ([, name]) => name,
    ),
  );
  const registries = names.filter((name) => /^(ghcr\.io|registry\.)/.test(name ?? ""));
  const ofRelays = registries.filter((name) => name !== "registry.example.com/app");
  expect([...new Set(ofRelays)].sort()).toEqual([
    "ghcr.io/OWNER/REPO",
    "ghcr.io/OWNER/charts/statsig-forward-proxy",
    "registry.example.com/statsig-forward-proxy",
  ]);
  const built = FILES.flatMap(
    (file) => textOf(file).match(/(?<=-t |image: )statsig-forward-proxy\S*/g) ?? [],
  );
  expect([...new Set(built)].sort()).toEqual(["statsig-forward-proxy", `statsig-forward-proxy:${version}`]);
  expect(readCompose().services["relay-1"]?.image).toBe("statsig-forward-proxy");
  expect(textOf(`${chart}/values.yaml`)).toContain("\n  repository: statsig-forward-proxy\n");
});

test("the release workflow pushes to the names that the documents have", () => {
  const workflow = textOf(".github/workflows/release.yml");
  // biome-ignore lint/suspicious/noTemplateCurlyInString: variables of the shell
  const [image, charts] = ["ghcr.io/${GITHUB_REPOSITORY,,}", "ghcr.io/${GITHUB_REPOSITORY_OWNER,,}/charts"];
  expect(workflow.split(`"${image}"`)).toHaveLength(3);
  expect(workflow).toContain(`charts="${charts}"`);
});

test("README and docs have the same line to try the image, with ports that it has", () => {
  const lineOf = (file: string) => /^docker run --rm .* demo\b/m.exec(textOf(file))?.[0];
  const line = lineOf("README.md") ?? "";
  expect(lineOf("docs/binary-and-image.md")).toBe(line);
  const ports = Array.from(line.matchAll(/-p (\d+):(\d+)/g), ([, outer, inner]) => [
    Number(outer),
    Number(inner),
  ]);
  expect(ports).toEqual([
    [8000, 8000],
    [8001, 8001],
    [50051, 50051],
  ]);
  expect(readFinalImage().ports).toEqual(expect.arrayContaining(ports.map(([, inner]) => inner)));
});
