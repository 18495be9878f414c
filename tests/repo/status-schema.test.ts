import { describe, expect, test } from "bun:test";
import { findStaleStatusSchema, toSchema } from "../../scripts/gen/status-schema.ts";
import { parseDeclarations } from "../../scripts/gen/type-parser.ts";

const SOURCE = `
import type { Other } from "./other.ts";

const MAX = 5;

/**
 * RFC 3339.
 * @format date-time
 */
export type Timestamp = string | null;

/** The whole. */
export interface StatusReport extends Base {
  /** One of
   * two lines. */
  readonly state: "ok" | "failing";
  readonly part: Part;
  readonly parts: readonly Part[];
  /** When. */
  readonly at: Timestamp;
  /** By name. */
  readonly counts: Readonly<Record<string, number>>;
  /** By kind. */
  readonly kinds: Readonly<Partial<Record<Kind, number>>> | null;
  readonly undescribed: number;
  readonly maybe?: boolean; // not in the schema
}

interface Base {
  /** Inherited. */
  readonly "a-name": string;
}

/** A part. */
interface Part {
  /** Nested. */
  readonly nested: { readonly inner: boolean };
}

type Kind =
  | "plain"
  /** The other one. */
  | "other";

export function toIso(ms: number): string {
  return String(ms);
}
`;

describe("the JSON Schema of the status", () => {
  const { schema, undescribed } = toSchema(parseDeclarations(SOURCE));
  const properties = schema["properties"] as Readonly<Record<string, object>>;

  test("has the fields, their types and their comments", () => {
    expect(schema["description"]).toBe("The whole.");
    expect(properties).toMatchObject({
      "a-name": { description: "Inherited.", type: "string" },
      state: { description: "One of two lines.", enum: ["ok", "failing"] },
      part: { $ref: "#/$defs/Part" },
      parts: { type: "array", items: { $ref: "#/$defs/Part" } },
      at: { description: "When.", type: ["string", "null"], format: "date-time" },
      counts: { type: "object", additionalProperties: { type: "number" } },
    });
    const number = { type: "number" };
    expect(properties["kinds"]).toEqual({
      description: "By kind.",
      ...{ type: ["object", "null"], properties: { plain: number, other: number } },
    });
    expect(schema["required"]).not.toContain("maybe");
    expect(schema["required"]).toContain("a-name");
    expect((schema["$defs"] as Record<string, object>)["Kind"]).toEqual({
      oneOf: [{ const: "plain" }, { const: "other", description: "The other one." }],
    });
  });

  test("names every field without a comment, unless its type has one", () => {
    expect(undescribed).toEqual(["StatusReport.undescribed", "StatusReport.maybe", "Part.nested.inner"]);
  });

  test("cannot be made from other forms of types, and says where", () => {
    const odd = "export interface StatusReport { readonly made: keyof typeof thing; }";
    expect(() => parseDeclarations(odd)).toThrow(/near: .*made : keyof/);
  });

  test("of this version is current", async () => {
    expect(await findStaleStatusSchema()).toEqual([]);
  });
});
