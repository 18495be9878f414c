import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly uses?: string;
  readonly needs?: string | readonly string[];
  readonly permissions?: Readonly<Record<string, string>>;
  readonly "timeout-minutes"?: number;
  readonly steps?: readonly Step[];
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, ".github/workflows");
const files = readdirSync(folder);
const textOf = (file: string) => readFileSync(join(folder, file), "utf8");
const workflowOf = (file: string) => parse(textOf(file)) as Workflow;
const jobsOf = (file: string) => Object.values(workflowOf(file).jobs);
const release = workflowOf("release.yml");
const runOf = (job: Job | undefined) => (job?.steps ?? []).map(({ run = "" }) => run).join("\n");
const actionsOf = (job: Job | undefined) => (job?.steps ?? []).flatMap(({ uses }) => uses ?? []);
const PUBLISHING = /docker login|buildx build --push|helm push|gh release|cosign sign/;

test("the workflow for every change runs the same script as every other CI", () => {
  const runs = runOf(jobsOf("ci.yml")[0]).split("\n").filter(Boolean);
  expect(runs).toEqual([expect.stringMatching(/ bash \.ci\/run$/)]);
});

describe.each(files)("%s", (file) => {
  test("names actions by commits, which can't be moved, and says which version each is", () => {
    const used = Array.from(textOf(file).matchAll(/uses: (.+)$/gm), ([, action = ""]) => action);
    expect(used.length).toBeGreaterThan(0);
    for (const action of used.filter((each) => !each.startsWith("./")))
      expect(action).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    for (const action of used.filter((each) => each.startsWith("./")))
      expect([action, existsSync(join(root, action))]).toEqual([action, true]);
  });

  test("may only read by default, and ends in time", () => {
    expect(workflowOf(file).permissions).toEqual({ contents: "read" });
    for (const job of jobsOf(file)) if (job.uses === undefined) expect(job["timeout-minutes"]).toBeNumber();
  });

  test("puts no expression into a script, where a name of a branch or tag could be code", () => {
    for (const job of jobsOf(file)) expect(runOf(job)).not.toContain("${{");
  });
});

describe("release.yml", () => {
  const { test: tests, build, publish } = release.jobs;

  test("is started by tags of versions only", () => {
    expect(release.on).toEqual({ push: { tags: ["v*"] } });
  });

  test("publishes nothing before all tests have passed", () => {
    expect(tests?.uses).toBe("./.github/workflows/ci.yml");
    expect(workflowOf("ci.yml").on).toHaveProperty("workflow_call");
    expect([build?.needs].flat()).toEqual(["test"]);
    expect([publish?.needs].flat()).toEqual(["test", "build"]);
    for (const [name, job] of Object.entries(release.jobs))
      expect([name, PUBLISHING.test(runOf(job))]).toEqual([name, name === "publish"]);
    // The release is what people see: it comes last.
    expect(publish?.steps?.at(-1)?.run).toContain("gh release create");
  });

  test("gives write permissions to the job that publishes, and to no other", () => {
    expect(publish?.permissions).toEqual({
      contents: "write",
      packages: "write",
      "id-token": "write",
      attestations: "write",
    });
    for (const job of [tests, build]) expect(job).not.toHaveProperty("permissions");
  });

  test("publishes the files that were built, with their hashes, a signature and provenance", () => {
    const scripts = runOf(build);
    for (const script of ["build:all", "package-linux.ts", "package-chart.ts", "sha256sum -- *"])
      expect(scripts).toContain(script);
    const nameOf = (job: Job | undefined, action: string) =>
      job?.steps?.find(({ uses }) => uses?.startsWith(action))?.with?.["name"];
    expect(nameOf(publish, "actions/download-artifact")).toBe(nameOf(build, "actions/upload-artifact"));
    expect(runOf(publish)).toContain("sha256sum --check SHA256SUMS");
    expect(runOf(publish)).toContain(
      "cosign sign-blob --yes --bundle dist/SHA256SUMS.sigstore.json dist/SHA256SUMS",
    );
    const provenance = (publish?.steps ?? []).filter(({ uses }) => uses?.includes("attest-build-provenance"));
    expect(provenance.map((step) => Object.keys(step.with ?? {}))).toEqual([
      ["subject-checksums"],
      ["subject-name", "subject-digest", "push-to-registry"],
    ]);
    expect(actionsOf(publish).join()).toContain("sigstore/cosign-installer@");
  });

  test("signs image and chart by digest, not by tag", () => {
    const signed = Array.from(runOf(publish).matchAll(/cosign sign --yes "(\S+)"/g), ([, what]) => what);
    expect(signed).toEqual(["$image@$digest", "$charts/statsig-forward-proxy@$digest"]);
  });

  test("runs scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const called = runOf(build).match(/scripts\/[\w-]+\.(ts|mjs)/g) ?? [];
    expect(called.length).toBeGreaterThan(3);
    for (const path of called) expect([path, existsSync(join(root, path))]).toEqual([path, true]);
    expect(scripts).toHaveProperty(["build:all"]);
  });
});
