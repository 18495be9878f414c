import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CodingNegotiation } from "../../src/http/negotiation.ts";

const read = (header: string | null) => new CodingNegotiation().read(header);

describe("Accept-Encoding of real clients (docs/protocol.md, Config specs over HTTP)", () => {
  test.each([
    ["core", "statsig-br, gzip, deflate, br", "br", true, "statsig-br+br+gzip+deflate"],
    ["legacy node", "gzip,deflate", "gzip", false, "gzip+deflate"],
    ["ruby, .net", "gzip", "gzip", false, "gzip"],
    ["Bun", "gzip, deflate, br, zstd", "zstd", false, "zstd+br+gzip+deflate"],
    ["curl without --compressed", null, "identity", false, "none"],
    ["Python without compression", "identity", "identity", false, "none"],
  ] as const)("%s", (_, header, json, statsigBr, label) => {
    const accepted = read(header);
    expect(accepted).toMatchObject({ statsigBr, label });
    expect(accepted.json[0]).toBe(json);
  });
});

describe("the rules of RFC 9110, 12.5.3", () => {
  test.each([
    ["", "identity"],
    ["deflate", "identity"],
    ["x-unknown;q=1", "identity"],
    ["GZip", "gzip"],
    ["gzip;q=0.5, br;q=0.9", "br"],
    ["gzip;q=0.9, zstd;q=0.1", "gzip"],
    ["gzip;Q=0.1, br;q=0.001", "gzip"],
    ["gzip ; q=0.5,br ;\tq=0.6", "br"],
    ["\tgzip ,, ", "gzip"],
    ["gzip;q=0", "identity"],
    ["gzip;q=0.000, br;q=0.0", "identity"],
    ["br;q=0, *", "zstd"],
    ["*", "zstd"],
    ["*;q=0.1, gzip", "gzip"],
    ["zstd;q=0, br;q=0, *;q=0.5", "gzip"],
    ["identity", "identity"],
    ["identity, gzip;q=0.5", "identity"],
    ["identity;q=0.5, gzip", "gzip"],
    ["identity;q=0, gzip", "gzip"],
    ["*;q=0, gzip", "gzip"],
    ["*;q=0, identity;q=0.1", "identity"],
    ["*;q=0, identity", "identity"],
    ["identity;q=0", undefined],
    ["*;q=0", undefined],
    ["identity;q=0, deflate", undefined],
    ["gzip;q=0, identity;q=0", undefined],
  ] as const)("%p accepts JSON as %p", (header, json) => {
    expect(read(header).json[0]).toBe(json);
  });

  test.each([
    ["statsig-br", true],
    ["Statsig-BR", true],
    ["statsig-br;q=0.1", true],
    ["*", true],
    ["statsig-br;q=0", false],
    ["statsig-br;q=0, *", false],
    ["*;q=0", false],
    ["br", false],
    ["", false],
    [null, false],
  ])("%p accepts statsig-br: %p", (header, expected) => {
    expect(read(header).statsigBr).toBe(expected);
  });
});

const CODINGS = ["zstd", "br", "gzip", "identity"] as const;

interface Offer {
  readonly coding: string;
  readonly q: number | undefined;
}

/** The rules of RFC 9110: an explicit entry takes precedence over `*`; identity needs no entry, but can be excluded. */
function reference(offers: readonly Offer[]): readonly string[] {
  const weightOf = (coding: string): number => {
    const own = offers.find((offer) => offer.coding.toLowerCase() === coding);
    const any = offers.find((offer) => offer.coding === "*");
    const offer = own ?? any;
    if (offer !== undefined) return offer.q ?? 1;
    return coding === "identity" ? Number.MIN_VALUE : 0;
  };
  const accepted = CODINGS.filter((coding) => weightOf(coding) > 0);
  return accepted.toSorted((one, other) => weightOf(other) - weightOf(one));
}

describe("for every header", () => {
  const offer = fc.record({
    coding: fc.constantFrom("zstd", "br", "gzip", "GZIP", "Br", "identity", "deflate", "statsig-br", "*"),
    q: fc.constantFrom(undefined, 0, 0.001, 0.1, 0.5, 0.999, 1),
  });
  const offers = fc.uniqueArray(offer, { maxLength: 6, selector: ({ coding }) => coding.toLowerCase() });
  const space = fc.constantFrom("", " ", "\t", "  ");

  test("the codings are those that the rules give, in the relay's order of preference among equals", () => {
    fc.assert(
      fc.property(offers, space, space, (each, before, after) => {
        const text = each.map(({ coding, q }) =>
          q === undefined ? coding : `${coding}${before};${after}q=${q}`,
        );
        const header = text.join(`${before},${after}`);
        expect([header, read(header).json as readonly string[]]).toEqual([header, reference(each)]);
      }),
      { numRuns: 3_000 },
    );
  });

  test("no text makes it throw, and a cached result equals the first", () => {
    const part = fc.constantFrom("gzip", "br", "*", ";", "q", "=", "0", "1", ".", ",", " ", '"', "\\");
    const junk = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(part).map((parts) => parts.join("")),
    );
    const negotiation = new CodingNegotiation();
    fc.assert(
      fc.property(junk, (text) => {
        const first = negotiation.read(text);
        expect(negotiation.read(text)).toEqual(first);
        expect(first).toEqual(read(text));
      }),
      { numRuns: 3_000 },
    );
  });

  test("never selects a coding that neither its name nor * offers", () => {
    const part = fc.constantFrom("gzip", "br", "zstd", ";q=0", ";q=1", ";", "=", ",", " ", '"', "identity");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 10, size: "max" }), (parts) => {
        const { json } = read(parts.join(""));
        for (const coding of json) if (coding !== "identity") expect(parts.join("")).toContain(coding);
      }),
      { numRuns: 3_000 },
    );
  });
});
