import { describe, expect, test } from "bun:test";
import { prepare } from "../../src/specs/payload/prepare.ts";
import { MAX_PAYLOAD_BYTES, specV1, specV2 } from "../support/upstream/payloads.ts";
import {
  compress,
  decompress,
  jsonBytes,
  prepared,
  raw,
  refusal,
  SDK_KEY,
} from "../support/upstream/raw-payloads.ts";

const LCUT = 1_700_000_000_000;
const spec = specV2({ lcut: LCUT, sdkKey: SDK_KEY });
const bytes = jsonBytes(spec);
const CODINGS = Object.keys(compress) as (keyof typeof compress)[];

describe("a JSON payload", () => {
  test.each([
    ...CODINGS.map((coding) => [coding, coding] as const),
    ["", "identity"],
    ["x-gzip", "gzip"],
    ["statsig-br", "br"],
  ] as const)("that came as %p is the same in every coding", async (contentEncoding, coding) => {
    const payload = await prepared(raw(compress[coding](bytes), contentEncoding));
    expect([payload.lcut, payload.format]).toEqual([LCUT, "json"]);
    expect<Uint8Array>(payload.bytes).toEqual(bytes);
    expect(payload.digest).toBe((await prepared(raw(bytes, ""))).digest);
    expect(Object.keys(payload.compressed).sort()).toEqual(["br", "gzip", "zstd"]);
    for (const each of ["gzip", "br", "zstd"] as const) {
      expect(decompress[each](payload.compressed[each] ?? new Uint8Array())).toEqual(bytes);
    }
  });

  test.each(["gzip", "br", "zstd"] as const)("keeps upstream's own bytes for %s", async (coding) => {
    const body = compress[coding](bytes);
    const payload = await prepared(raw(body, coding));
    expect<Uint8Array | undefined>(payload.compressed[coding]).toEqual(body);
  });

  test("has another digest for another version", async () => {
    const other = await prepared(raw(jsonBytes(specV2({ lcut: LCUT, sdkKey: SDK_KEY, color: "red" })), ""));
    expect(other.digest).not.toBe((await prepared(raw(bytes, ""))).digest);
  });

  test.each(["é", "日本", "\u{1f600}", "\u0000"])("keeps every character: %p", async (text) => {
    const each = jsonBytes({ time: 1, text });
    expect<Uint8Array>((await prepared(raw(compress.br(each), "br"))).bytes).toEqual(each);
  });
});

describe("a JSON payload's version", () => {
  test("is x-since-time if that was sent", async () => {
    expect((await prepared(raw(bytes, "", { headerLcut: LCUT + 5 }))).lcut).toBe(LCUT + 5);
  });

  test("is the body's time otherwise", async () => {
    expect((await prepared(raw(jsonBytes(specV1({ lcut: 42 })), ""))).lcut).toBe(42);
  });

  test("may be up to a day ahead of this machine's clock, in the body and in the header", async () => {
    const hour = 3_600_000;
    const [near, far] = [Date.now() + 23 * hour, Date.now() + 25 * hour];
    const of = (time: number, headerLcut?: number) =>
      raw(jsonBytes(specV1({ lcut: time })), "", { headerLcut });
    expect((await prepared(of(near))).lcut).toBe(near);
    expect((await prepared(of(42, near))).lcut).toBe(near);
    for (const refused of [of(far), of(42, far), of(far, 42), of(Date.now() * 1_000)]) {
      const preparation = await prepare({ raw: refused, maxBytes: MAX_PAYLOAD_BYTES });
      expect(preparation).toMatchObject({ kind: "refused", reason: "in_future" });
      expect(JSON.stringify(preparation)).toMatch(
        /the version \d+ is more than 24 h ahead of this machine's clock \(\S+\): .*clock is wrong, or the version is not in ms/,
      );
    }
  });

  test.each([undefined, null, "1700000000000", 1.5, -1, 2 ** 53, {}, true])(
    "cannot be a time of %p",
    async (time) => {
      expect(await refusal(raw(jsonBytes({ ...spec, time }), ""))).toBe("no_lcut");
      expect((await prepared(raw(jsonBytes({ ...spec, time }), "", { headerLcut: 7 }))).lcut).toBe(7);
    },
  );
});

test.each([
  ["says so", { has_updates: false }, "no_update"],
  ["says so, with more", { has_updates: false, time: LCUT, feature_gates: [] }, "no_update"],
  ["says the opposite", { has_updates: true, time: LCUT }, "prepared"],
  ["says nothing", { time: LCUT }, "prepared"],
  ["says it in another type", { has_updates: 0, time: LCUT }, "prepared"],
] as const)("has_updates: a payload without news %s", async (_, body, expected) => {
  for (const coding of CODINGS)
    expect(await refusal(raw(compress[coding](jsonBytes(body)), coding))).toBe(expected);
});

describe("hashed_sdk_key_used", () => {
  test("of another key is refused, in every coding", async () => {
    const other = jsonBytes(specV2({ lcut: LCUT, sdkKey: "secret-other" }));
    for (const coding of CODINGS)
      expect(await refusal(raw(compress[coding](other), coding))).toBe("other_key");
  });

  test("may be a number, and may be missing", async () => {
    const { hashed_sdk_key_used: hash, ...without } = spec;
    const asNumber = { ...without, hashed_sdk_key_used: Number(hash) };
    expect(await refusal(raw(jsonBytes(asNumber), ""))).toBe("prepared");
    expect(await refusal(raw(jsonBytes(without), ""))).toBe("prepared");
    expect(await refusal(raw(jsonBytes({ ...without, hashed_sdk_key_used: 1 }), ""))).toBe("other_key");
  });

  test("is required if the body was read from a place where keys can collide", async () => {
    const { hashed_sdk_key_used: _, ...without } = spec;
    expect(await refusal(raw(jsonBytes(without), "", { mustNameKey: true }))).toBe("other_key");
    expect(await refusal(raw(jsonBytes(spec), "", { mustNameKey: true }))).toBe("prepared");
  });

  test("is checked also if the version is in the header", async () => {
    const other = jsonBytes(specV2({ lcut: LCUT, sdkKey: "secret-other" }));
    expect(await refusal(raw(other, "", { headerLcut: LCUT }))).toBe("other_key");
  });
});

describe("a body that is not a JSON object", () => {
  test.each([
    "",
    " ",
    "null",
    "1",
    '"text"',
    "[]",
    "[{}]",
    "{}{}",
    "{'time':1}",
    '{"time":1,}',
    "<html></html>",
  ])("is refused: %p", async (text) => {
    const body = new TextEncoder().encode(text);
    for (const coding of CODINGS)
      expect(await refusal(raw(compress[coding](body), coding))).toBe("malformed");
  });

  test.each([[[0xff]], [[0xc3]], [[0xed, 0xa0, 0x80]], [[0xc0, 0xaf]], [[0xf4, 0x90, 0x80, 0x80]]])(
    "is refused: a string that is not UTF-8, %p",
    async (broken) => {
      const text = [...new TextEncoder().encode('{"time":1,"a":"'), ...broken, 0x22, 0x7d];
      expect(await refusal(raw(new Uint8Array(text), "", { headerLcut: 1 }))).toBe("malformed");
    },
  );

  test("crashes nothing, accepted or refused: 100,000 nested arrays", async () => {
    const text = `{"time":1,"deep":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    expect(["malformed", "prepared"]).toContain(await refusal(raw(new TextEncoder().encode(text), "")));
    const broken = new TextEncoder().encode(`{"time":1,"deep":${"[".repeat(100_000)}`);
    expect(await refusal(raw(broken, ""))).toBe("malformed");
  });
});

describe("a coding", () => {
  test.each(["lzma", "compress", "gzip, br", "GZIP", "identity, identity"])(
    "that was not requested is refused: %p",
    async (coding) => {
      expect(await refusal(raw(bytes, coding))).toBe("undecodable");
    },
  );

  test.each(["gzip", "deflate", "br", "zstd"] as const)(
    "%s that the body is not in is refused",
    async (coding) => {
      for (const actual of CODINGS) {
        if (actual !== coding)
          expect(await refusal(raw(compress[actual](bytes), coding))).not.toBe("prepared");
      }
      expect(await refusal(raw(compress[coding](bytes), ""))).toBe("malformed");
    },
  );
});

describe("a body of any length is decoded whole", () => {
  const ofLength = (length: number): Uint8Array<ArrayBuffer> => {
    const head = '{"time":1,"a":"';
    return new TextEncoder().encode(`${head}${"x".repeat(length - head.length - 2)}"}`);
  };
  const chunk = 256 * 1024;
  const lengths = [17, 63, 64, 65, chunk - 1, chunk, chunk + 1, 4 * chunk, 4 * chunk + 1, 20 * chunk];

  test.each(lengths)(
    "%d bytes, in every coding; one byte more than is allowed is refused",
    async (length) => {
      const whole = ofLength(length);
      for (const coding of CODINGS) {
        const payload = await prepared(raw(compress[coding](whole), coding), Math.max(length, 200));
        expect(Buffer.from(payload.bytes).equals(whole)).toBe(true);
        if (length > 1_000)
          expect(await refusal(raw(compress[coding](whole), coding), length - 1)).toBe("too_large");
      }
    },
  );

  test("also several gzip members and zstd frames", async () => {
    const [one, two] = [ofLength(3 * chunk), new TextEncoder().encode(" ".repeat(chunk + 1))];
    const whole = Buffer.concat([one, two]);
    for (const coding of ["gzip", "zstd"] as const) {
      const parts = [compress[coding](one), compress[coding](two)];
      const body = Buffer.concat(parts);
      expect(Buffer.from((await prepared(raw(body, coding))).bytes).equals(whole)).toBe(true);
      expect(await refusal(raw(body, coding), whole.length - 1)).toBe("too_large");
      expect(await refusal(raw(body.subarray(0, -1), coding))).toBe("undecodable");
    }
  });
});

test("each of many concurrent large payloads is prepared correctly", async () => {
  const specs = Array.from({ length: 6 }, (_, at) =>
    jsonBytes({ time: at + 1, filler: "x".repeat(1_200_000 + at) }),
  );
  const payloads = await Promise.all(specs.map((each) => prepared(raw(compress.gzip(each), "gzip"))));
  for (const [at, payload] of payloads.entries()) {
    expect([payload.lcut, Buffer.from(payload.bytes).equals(specs[at] ?? new Uint8Array())]).toEqual([
      at + 1,
      true,
    ]);
  }
});
