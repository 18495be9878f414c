import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { nextSteps } from "../../src/telemetry/status/next-steps.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { reported } from "../support/telemetry/status-report.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

test("every problem has a next step in whole sentences, and refers to a section that exists", async () => {
  expect(nextSteps.length).toBeGreaterThan(20);
  for (const { step, doc } of nextSteps) {
    expect(step).toMatch(/^[A-Z`].*\.$/);
    const [, name = "", section = ""] = /^([\w-]+\.md), (.+)$/.exec(doc) ?? [];
    const text = await readFile(new URL(`../../docs/${name}`, import.meta.url), "utf8");
    const headings = Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading]) => heading);
    expect(headings).toContain(section);
  }
});

test("/status.json has both with each problem", async () => {
  await using upstream = await startUpstream();
  await using managed = await startManagedRelay({ upstream, args: ["--preload-sdk-keys", "secret-none"] });
  const { problems } = await reported(managed, (each) => expect(each.problems.length).toBeGreaterThan(1));
  for (const problem of problems) {
    expect(nextSteps).toContainEqual({ step: problem.next_step, doc: problem.doc });
  }
});
