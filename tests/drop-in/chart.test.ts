import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fetchHelm, hasHelm } from "../../scripts/release/helm.ts";
import { chartFolder, helm, rendered } from "../support/deploy/helm.ts";
import { findLinks } from "../support/deploy/kubernetes-links.ts";
import { listeningPorts, printedByContainer, relayContainer } from "../support/deploy/kubernetes-relay.ts";
import {
  type KubernetesObject,
  unknownFields,
  validateValues,
} from "../support/deploy/kubernetes-schemas.ts";
import { originalValues } from "../support/deploy/original-values.ts";
import type { ChartRow } from "../support/drop-in/chart-row.ts";
import { testRows } from "../support/drop-in/row.ts";
import { CHART_ROWS, REJECTED_ROWS } from "./chart.rows.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-chart-"));
const isMissing = (process.env["SFP_TEST_MISSING"] ?? "").split(",").includes("unzip");

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Returns Helm's arguments for these values. */
function helmArgs({ values = {}, kubernetes }: Pick<ChartRow, "values" | "kubernetes">): readonly string[] {
  const path = join(folder, `${Bun.hash(JSON.stringify(values)).toString(16)}.json`);
  writeFileSync(path, JSON.stringify(values));
  return ["--values", path, ...(kubernetes === undefined ? [] : ["--kube-version", kubernetes])];
}

/** Returns a field of the first object of the kind, or of the object `kind/name`. */
function fieldAt(objects: readonly KubernetesObject[], [which, ...path]: ChartRow["at"]): unknown {
  const [kind, name] = which.split("/");
  const found = objects.find(
    (each) => each.kind === kind && (name ?? each.metadata.name) === each.metadata.name,
  );
  return path.reduce<unknown>(
    (parent, key) => (parent as Readonly<Record<string, unknown>> | undefined)?.[key],
    found,
  );
}

const describeChart = describe.skipIf(!hasHelm || isMissing);

describeChart("the values of the original's chart", () => {
  beforeAll(async () => {
    await fetchHelm();
  }, 300_000);

  testRows(CHART_ROWS, async (row) => {
    const objects = await rendered(...helmArgs(row));
    expect(fieldAt(objects, row.at)).toEqual(row.is);
    for (const object of objects) await validateValues(object);
  });

  testRows(REJECTED_ROWS, async (row) => {
    const { exitCode, stderr } = await helm("template", "relays", chartFolder, ...helmArgs(row));
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(row.reason)]);
  });
});

const wholes = (["4.1", "4.4"] as const).flatMap((chart) =>
  [false, true].flatMap((withExamples) =>
    ["newest", "1.25.0"].map((kubernetes) => ({ chart, withExamples, kubernetes })),
  ),
);

describeChart.each(wholes)(
  "the whole values.yaml of $chart, examples: $withExamples, Kubernetes $kubernetes",
  ({ chart, withExamples, kubernetes }) => {
    const values = originalValues(chart, withExamples);
    const args = helmArgs({ values, ...(kubernetes !== "newest" && { kubernetes }) });
    let objects: KubernetesObject[];

    beforeAll(async () => {
      objects = await rendered(...args);
    }, 300_000);

    test("renders valid objects that refer to each other", async () => {
      for (const object of objects) await validateValues(object);
      expect(unknownFields(objects)).toBe("");
      expect(findLinks(objects).filter(({ exists }) => !exists)).toEqual([]);
    });

    test("has one handler per probe and hook", () => {
      const { livenessProbe, readinessProbe, startupProbe, lifecycle } = relayContainer(objects);
      const names = ["exec", "grpc", "httpGet", "sleep", "tcpSocket"];
      const handlers = [livenessProbe, readinessProbe, startupProbe, lifecycle?.preStop].map((each) =>
        Object.keys(each ?? {}).filter((name) => names.includes(name)),
      );
      const hook = kubernetes === "newest" ? "sleep" : "exec";
      expect(handlers).toEqual([["httpGet"], ["httpGet"], ["httpGet"], [hook]]);
    });

    test("starts a relay on the declared ports", async () => {
      // Whether the relay takes the options of the examples is a question of the options.
      const started = await rendered(...args, "--set-json", 'sfp.args=["http","disabled"]');
      const { exitCode, stdout, stderr } = await printedByContainer(started, folder);
      expect([exitCode, stderr]).toEqual([0, ""]);
      const declared = (relayContainer(started).ports ?? []).map(({ containerPort }) => containerPort);
      expect(declared).toEqual(expect.arrayContaining(listeningPorts(stdout)));
    });
  },
);
