import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readSinceTime, readSpecTarget, type SpecTarget } from "../../src/http/spec-target.ts";

const target = (more: Partial<SpecTarget> = {}): SpecTarget => ({
  version: "v2",
  pathKey: "secret-a",
  sinceTime: 0,
  checksum: "",
  acceptsDeltas: false,
  supportsProto: undefined,
  ...more,
});

describe("a URL of the spec endpoints (docs/protocol.md, Config specs over HTTP)", () => {
  test.each([
    ["/v2/download_config_specs/secret-a.json", target()],
    ["/v1/download_config_specs/secret-a.json", target({ version: "v1" })],
    ["/v2/download_config_specs//secret-a.json", target()],
    ["/v2/download_config_specs///secret-a.json", target()],
    ["/v2/download_config_specs/secret-a.js", target()],
    ["/v2/download_config_specs/secret-a", target()],
    ["/v2/download_config_specs/.json", target({ pathKey: "" })],
    ["/v2/download_config_specs/secret-a.json.json", target({ pathKey: "secret-a.json" })],
    ["/v2/download_config_specs/d/dictionary-1/secret-a.json?sinceTime=5", target({ sinceTime: 5 })],
    ["/v2//download_config_specs/d/dictionary-1//secret-a.json/", target()],
    ["/v2/download_config_specs/d", target({ pathKey: "d" })],
    ["/v1/download_config_specs", target({ version: "v1", pathKey: "" })],
    ["/v1/download_config_specs/", target({ version: "v1", pathKey: "" })],
    ["/v1/download_config_specs?sinceTime=5", target({ version: "v1", pathKey: "", sinceTime: 5 })],
    [
      "/v2/download_config_specs/secret-a.json?sinceTime=1700000000000",
      target({ sinceTime: 1_700_000_000_000 }),
    ],
    ["/v2/download_config_specs/secret-a.json?supports_proto=true", target({ supportsProto: true })],
    ["/v2/download_config_specs/secret-a.json?supports_proto=false", target({ supportsProto: false })],
    [
      "/v2/download_config_specs/secret-a.json?accept_deltas=true&sinceTime=7&checksum=x&supports_proto=true",
      target({ sinceTime: 7, checksum: "x", acceptsDeltas: true, supportsProto: true }),
    ],
    [
      "/v2/download_config_specs/secret-a.json?supports_proto=true&checksum=sinceTime=9&sinceTime=7",
      target({ sinceTime: 7, checksum: "sinceTime=9", supportsProto: true }),
    ],
    [
      "/v2/download_config_specs/secret-a.json?checksum=a%2Bb%2F%3D%3D&accept_deltas",
      target({ checksum: "a+b/==", acceptsDeltas: true }),
    ],
    ["/v2/download_config_specs/secret-a.json?checksum=a%252Bb%252F%253D", target({ checksum: "a+b/=" })],
    ["/v2/download_config_specs/secret-a.json?checksum=a+b/=", target({ checksum: "a+b/=" })],
    ["/v2/download_config_specs/secret-a.json?accept_deltas=false&checksum=", target()],
    ["/v2/download_config_specs/secret-a.json?checksum=a%2520b", target({ checksum: "a b" })],
    ["/v2/download_config_specs/secret-a.json?checksum=%2525%25E0%2", target({ checksum: "%2525%25E0%2" })],
    ["/v2/download_config_specs/secret-a.json?checksum=100%25", target({ checksum: "100%" })],
    ["/v2/download_config_specs/secret-a.json?XsinceTime=7&sinceTimeX=8", target()],
    ["/v2/download_config_specs/secret-a.json?x=/v1/download_config_specs/b.json", target()],
    ["/v2/download_config_specs/secret-a.json?", target()],
    ["//v2/download_config_specs/secret-a.json", target()],
    ["/v2//download_config_specs/secret-a.json", target()],
    ["/v2/download_config_specs/secret-a.json/", target()],
    ["/v2/download_config_specs/secret-a.json//?sinceTime=5", target({ sinceTime: 5 })],
    ["//v1//download_config_specs//", target({ version: "v1", pathKey: "" })],
    ["/v2/download%5Fconfig_specs/secret-a.json", target()],
    ["/v2/download_config_specs/secret%2Da.json", target()],
    ["/v2/download_config_specs/secret-a%2Ejson", target({ pathKey: "secret-a.json" })],
    ["/v2/download_config_specs/a%2Fb.json", target({ pathKey: "a/b" })],
    ["/v2/download_config_specs/a%zz.json", target({ pathKey: "a%zz" })],
    ...["true", "True", "TRUE", "on", "yes", "YES", "", "%74rue"].map(
      (said) =>
        [
          `/v2/download_config_specs/secret-a?supports_proto=${said}`,
          target({ supportsProto: true }),
        ] as const,
    ),
    ["/v2/download_config_specs/secret-a?supports_proto", target({ supportsProto: true })],
    [
      "/v2/download_config_specs/secret-a?supports_proto&sinceTime=5",
      target({ supportsProto: true, sinceTime: 5 }),
    ],
    ...["false", "False", "off", "no"].map(
      (said) =>
        [
          `/v2/download_config_specs/secret-a?supports_proto=${said}`,
          target({ supportsProto: false }),
        ] as const,
    ),
    ...["1", "0", "t", "null", "true%20"].map(
      (said) => [`/v2/download_config_specs/secret-a?supports_proto=${said}`, target()] as const,
    ),
    ...["%2B1700000000000", "0001700000000000", "%31700000000000"].map(
      (said) =>
        [
          `/v2/download_config_specs/secret-a?sinceTime=${said}`,
          target({ sinceTime: 1_700_000_000_000 }),
        ] as const,
    ),
    ...["9223372036854775808", "18446744073709551615", "9007199254740992"].map(
      (said) =>
        [
          `/v2/download_config_specs/secret-a?sinceTime=${said}`,
          target({ sinceTime: Number.MAX_SAFE_INTEGER }),
        ] as const,
    ),
    ...[
      "18446744073709551616",
      "9".repeat(21),
      "-5",
      "5.0",
      "1e12",
      "0x10",
      "%205",
      "+5",
      "",
      "Infinity",
    ].map((said) => [`/v2/download_config_specs/secret-a?sinceTime=${said}`, target()] as const),
  ])("%s", (path, expected) => {
    for (const origin of ["http://localhost:8000", "https://relay.example", "http://[::1]:8000"]) {
      expect(readSpecTarget(`${origin}${path}`)).toEqual(expected);
    }
  });

  test.each([
    "/",
    "/v1",
    "/v3/download_config_specs/secret-a.json",
    "/v22/download_config_specs/secret-a.json",
    "/v2/download_config_specsX",
    "/v2/download_config_specs.json",
    "/v2/download_config_spec",
    "/x/v2/download_config_specs/secret-a.json",
    "/v2/download_config_specs/a/b.json",
    "/v2/download_config_specs/a//b.json",
    "/V2/download_config_specs/secret-a.json",
    "/?/v2/download_config_specs/secret-a.json",
  ])("is not %s", (path) => {
    expect(readSpecTarget(`http://localhost:8000${path}`)).toBeUndefined();
  });

  test("is parsed as by URL and URLSearchParams", () => {
    const segment = fc.constantFrom(
      "v1",
      "v2",
      "v3",
      "download_config_specs",
      "a",
      "secret-a.json",
      "b.js",
      "%2F",
      "",
    );
    const path = fc.oneof(
      fc.array(segment, { maxLength: 6 }),
      fc.array(segment, { maxLength: 3 }).map((rest) => ["v2", "download_config_specs", ...rest]),
    );
    const name = fc.constantFrom("sinceTime", "supports_proto", "checksum", "xsinceTime", "sinceTime2");
    const value = fc.constantFrom(
      "",
      "0",
      "5",
      "1700000000000",
      "-1",
      "1.5",
      "true",
      "false",
      "TRUE",
      "x=sinceTime=1",
    );
    const query = fc.array(fc.tuple(name, value), { maxLength: 4 });
    fc.assert(
      fc.property(path, query, (segments, pairs) => {
        const text = pairs.map(([each, said]) => `${each}=${said}`).join("&");
        const url = `http://localhost:8000/${segments.join("/")}${text && "?"}${text}`;
        expect(readSpecTarget(url)).toEqual(reference(url));
      }),
      { numRuns: 3_000 },
    );
  });

  test("is no arbitrary text, and no text makes the parser throw", () => {
    const part = fc.constantFrom(
      "/v1",
      "/v2",
      "/download_config_specs",
      "?",
      "&",
      "=",
      "://",
      "/",
      "#",
      "sinceTime",
    );
    const junk = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(part).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(junk, (text) => void readSpecTarget(text)),
      { numRuns: 3_000 },
    );
    fc.assert(
      fc.property(junk, (text) => void readSpecTarget(`http://localhost/${text}`)),
      { numRuns: 3_000 },
    );
  });
});

function reference(text: string): SpecTarget | undefined {
  const url = new URL(text);
  const path = url.pathname.replace(/\/+/g, "/").replace(/(?<=.)\/$/, "");
  const match = /^\/(v1|v2)\/download_config_specs(?:\/([^/]*?)(?:\.json|\.js)?)?$/.exec(path);
  if (match === null) return undefined;
  const sinceTime = Number(url.searchParams.get("sinceTime"));
  const supportsProto = url.searchParams.get("supports_proto")?.toLowerCase();
  return {
    version: match[1] === "v1" ? "v1" : "v2",
    pathKey: decodeURIComponent(match[2] ?? ""),
    sinceTime: sinceTime > 0 && Number.isSafeInteger(sinceTime) ? sinceTime : 0,
    checksum: url.searchParams.get("checksum") ?? "",
    acceptsDeltas: ["", "true"].includes(url.searchParams.get("accept_deltas")?.toLowerCase() ?? "none"),
    supportsProto:
      ["", "true"].includes(supportsProto ?? "none") || (supportsProto === "false" ? false : undefined),
  };
}

describe("sinceTime of a body", () => {
  test("is a whole number above 0, or 0, whatever JSON it is", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: fc.constantFrom("1", "5", ".", "-", "e", "a") }), (value) => {
        expect(Number.isSafeInteger(readSinceTime(value))).toBe(true);
        expect(readSinceTime(value)).toBeGreaterThanOrEqual(0);
      }),
    );
    expect([5, "5", null, -1, 1.5, "x"].map(readSinceTime)).toEqual([5, 5, 0, 0, 0, 0]);
  });

  // Number() calls the value's toString, and recurses into arrays.
  test.each([
    ["an object with an invalid toString", '{"toString":1,"valueOf":1}'],
    ["200,000 arrays in each other", `${"[".repeat(200_000)}${"]".repeat(200_000)}`],
  ])("is 0 for hostile values: %s", (_, json) => {
    expect(readSinceTime(JSON.parse(json))).toBe(0);
  });
});
