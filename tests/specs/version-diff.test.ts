import { describe, expect, test } from "bun:test";
import { toShared } from "../../src/platform/shared-bytes.ts";
import { diffVersions, type KeptBody } from "../../src/specs/versions/diff.ts";
import { entity, everyone, specV1, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";

const MAX_BYTES = 64 * 1024 * 1024;
const json = (value: object): KeptBody => ({
  format: "json",
  body: toShared(new TextEncoder().encode(JSON.stringify(value))),
  contentEncoding: "",
});
const proto = (options: Parameters<typeof specProto>[0]): KeptBody => ({
  format: "proto",
  body: toShared(specProto(options)),
  contentEncoding: "statsig-br",
});

const compare = (from: KeptBody, to: KeptBody) => diffVersions({ from, to, maxBytes: MAX_BYTES });

const gate = (name: string) =>
  entity({
    ...{ name, type: "feature_gate", returnValue: true, defaultValue: false, passPercentage: 100 },
    conditions: [everyone],
  });

const NONE = { added: [], removed: [], changed: [], total: { added: 0, removed: 0, changed: 0 } };
const changedOnly = (...changed: string[]) => ({
  ...NONE,
  changed,
  total: { added: 0, removed: 0, changed: changed.length },
});

describe("the differences of two versions", () => {
  test("are none if only time and checksum differ", async () => {
    for (const make of [
      (lcut: number) => json(specV1({ lcut })),
      (lcut: number) => json(specV2({ lcut })),
      (lcut: number) => proto({ lcut }),
    ]) {
      for (const kind of Object.values(await compare(make(1), make(2)))) expect(kind).toEqual(NONE);
    }
  });

  test("are named in v1, v2 and protobuf alike, without values", async () => {
    const [before, after] = [
      { lcut: 1, gateValue: true, color: "a-secret-value" },
      { lcut: 2, gateValue: false, color: "another-secret-value" },
    ];
    for (const [from, to] of [
      [json(specV1(before)), json(specV1(after))],
      [json(specV2(before)), json(specV2(after))],
      [proto(before), proto(after)],
    ] as const) {
      const diff = await compare(from, to);
      expect(diff.gates).toEqual(changedOnly("gate_public"));
      expect(diff.dynamic_configs).toEqual(changedOnly("config_public"));
      expect(diff.conditions).toEqual(NONE);
      expect(JSON.stringify(diff)).not.toContain("secret");
    }
  });

  test("are what was added and removed, and other top-level fields", async () => {
    const spec = specV2({ lcut: 1 });
    const { gate_public: kept = {} } = spec.feature_gates;
    const from = json({
      ...spec,
      feature_gates: { gate_public: kept, gone: gate("gone") },
      layer_configs: { l: 1 },
    });
    const to = json({
      ...spec,
      feature_gates: { gate_public: kept, new: gate("new") },
      sdk_flags: { fast: true },
    });
    const diff = await compare(from, to);
    expect(diff.gates).toEqual({
      added: ["new"],
      removed: ["gone"],
      changed: [],
      total: { added: 1, removed: 1, changed: 0 },
    });
    expect(diff.layers.removed).toEqual(["l"]);
    expect(diff.other_fields).toEqual(changedOnly("sdk_flags"));
  });

  test("are at most 1,000 names of each kind, with the number of all, each cut at 200 characters", async () => {
    const spec = specV2({ lcut: 1 });
    const names = Array.from({ length: 1_200 }, (_, at) => `${at}-${"x".repeat(300)}`);
    const gates = Object.fromEntries(names.map((name) => [name, gate(name)]));
    const diff = await compare(
      json(spec),
      json({ ...spec, feature_gates: { ...spec.feature_gates, ...gates } }),
    );
    expect(diff.gates.total.added).toBe(1_200);
    expect(diff.gates.added).toHaveLength(1_000);
    for (const name of diff.gates.added) expect(name.length).toBe(200);
  });

  test("of what is no config spec are refused", async () => {
    const broken: KeptBody = {
      format: "json",
      body: toShared(new TextEncoder().encode("[]")),
      contentEncoding: "",
    };
    await expect(compare(broken, json(specV2({ lcut: 1 })))).rejects.toThrow("not a JSON object");
  });
});
