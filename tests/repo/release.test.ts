import { describe, expect, test } from "bun:test";
import { parse } from "yaml";
import { ReleaseRepository } from "../support/deploy/release-repository.ts";

/** A build that records the commit and the package.json that it found. */
const BUILD = 'mkdir -p dist && git log -1 --format="%s %D" > dist/built && cat package.json >> dist/built';

const today = () => new Date().toISOString().slice(0, 10);

describe("npm run release", () => {
  test("sets the version everywhere, moves the unreleased notes, commits, builds, tags, and does not push", () => {
    using repository = new ReleaseRepository();
    const before = today();
    const { exitCode, stdout, stderr } = repository.release("0.2.0", "--build", BUILD);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toEndWith("To publish it:\n  git push origin main v0.2.0\n");
    expect(repository.git("log", "--format=%s")).toBe("Release 0.2.0\nAll");
    expect(repository.git("status", "--porcelain")).toBe("");
    expect(JSON.parse(repository.read("package.json"))).toMatchObject({ version: "0.2.0" });
    const chart = parse(repository.read("deploy/helm/statsig-forward-proxy/Chart.yaml"));
    expect(chart).toMatchObject({ version: "0.2.0", appVersion: "0.2.0" });
    expect(repository.read("deploy/kubernetes/active.yaml")).toContain("statsig-forward-proxy:0.2.0");
    const [, date, notes] = /^## Unreleased\n\n## 0\.2\.0 - (\S+)\n\n([\s\S]*?)\n\n## 0\.0\.9/m.exec(
      repository.read("CHANGELOG.md"),
    ) ?? ["", "", ""];
    expect(notes).toBe("### Added\n\n- Something new.");
    // The day may end meanwhile.
    expect([before, today()]).toContain(date);
    expect(repository.read("dist/built")).toStartWith("Release 0.2.0 HEAD -> main\n");
    expect(repository.read("dist/built")).toContain('"version": "0.2.0"');
  });

  test("leaves the old version in no document and no file for a deployment", () => {
    using repository = new ReleaseRepository();
    const { version } = JSON.parse(repository.read("package.json")) as { version: string };
    repository.release("77.66.55", "--build", "true");
    const places = ["README.md", "Dockerfile", "docs", "deploy"];
    // Prints nothing, and fails, if nothing is found.
    const found = repository.run(
      "git",
      "grep",
      "--line-number",
      "--word-regexp",
      "--fixed-strings",
      version,
      ...places,
    );
    expect(found).toBe("");
  });

  test("puts the notes into the tag, including headings", () => {
    using repository = new ReleaseRepository();
    repository.release("1.0.0-rc.1", "--build", "true");
    expect(repository.git("tag", "--list", "--format=%(refname:short) %(objecttype)")).toBe(
      "v1.0.0-rc.1 tag",
    );
    expect(repository.git("tag", "--list", "--format=%(contents)")).toBe(
      "1.0.0-rc.1\n\n### Added\n\n- Something new.",
    );
  });

  test("can release the current version if it has no tag yet", () => {
    using repository = new ReleaseRepository();
    const { version } = JSON.parse(repository.read("package.json")) as { version: string };
    expect(repository.release(version, "--build", "true").exitCode).toBe(0);
    const again = repository.release(version, "--build", "true");
    expect([again.exitCode, again.stderr]).toEqual([1, `release: the tag v${version} already exists\n`]);
  });

  test("prints with --dry-run what it would do, and changes nothing", () => {
    using repository = new ReleaseRepository();
    const head = repository.git("rev-parse", "HEAD");
    const { exitCode, stdout } = repository.release("0.2.0", "--dry-run", "--build", BUILD);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining("would release 0.2.0 as v0.2.0")]);
    expect(stdout).toContain("- Something new.");
    expect([repository.git("rev-parse", "HEAD"), repository.git("status", "--porcelain")]).toEqual([
      head,
      "",
    ]);
    expect(repository.git("tag")).toBe("");
  });

  test("leaves no trace of a release that could not be built", () => {
    using repository = new ReleaseRepository();
    const { exitCode, stderr } = repository.release("0.2.0", "--build", "exit 3");
    expect([exitCode, stderr]).toEqual([1, "release: sh -c exit 3 failed, the release is undone\n"]);
    expect(repository.git("log", "--format=%s")).toBe("All");
    expect([repository.git("status", "--porcelain"), repository.git("tag")]).toEqual(["", ""]);
  });

  test("refuses uncommitted changes", () => {
    using repository = new ReleaseRepository();
    repository.write("package.json", `${repository.read("package.json")}\n`);
    repository.write("new.txt", "");
    const { exitCode, stderr } = repository.release("0.2.0", "--build", "true");
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("there are uncommitted changes")]);
    expect(stderr).toContain("?? new.txt");
  });

  test("refuses a changelog without unreleased notes", () => {
    using repository = new ReleaseRepository();
    repository.release("0.2.0", "--build", "true");
    const { exitCode, stderr } = repository.release("0.3.0", "--build", "true");
    expect([exitCode, stderr]).toEqual([1, "release: CHANGELOG.md has no notes under Unreleased\n"]);
  });

  test("refuses a file with another version", () => {
    using repository = new ReleaseRepository();
    repository.write("deploy/kubernetes/active.yaml", "image: statsig-forward-proxy:9.9.9\n");
    repository.git("commit", "--quiet", "--all", "--message", "Another");
    const { stderr } = repository.release("0.2.0", "--build", "true");
    expect(stderr).toMatch(
      /^release: deploy\/kubernetes\/active\.yaml does not contain "statsig-forward-proxy:/,
    );
  });

  test.each([
    [["v0.2.0"], 'invalid version "v0.2.0" (expected one like 1.2.3 or 1.2.3-rc.1)'],
    [["0.0.1"], "0.0.1 is lower than "],
    [[], "usage: npm run release -- <version>"],
    [["0.2.0", "0.3.0"], "usage: npm run release -- <version>"],
    [["0.2.0", "--push"], "Unknown option '--push'"],
  ])("refuses %p", (args, problem) => {
    using repository = new ReleaseRepository();
    const { exitCode, stderr } = repository.release(...args);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`release: ${problem}`)]);
  });
});
