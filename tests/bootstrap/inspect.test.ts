import { describe, expect, test } from "bun:test";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { inspectFile } from "../../src/bootstrap/inspect.ts";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { djb2, MAX_PAYLOAD_BYTES, specV1, specV2 } from "../support/upstream/payloads.ts";
import { specEnvelopes, specProto } from "../support/upstream/proto-payload.ts";

const KEY = "secret-files";
const options = { lcut: 1_700_000_000_000, sdkKey: KEY };
const v1 = JSON.stringify(specV1(options));
const v2 = JSON.stringify(specV2(options));

async function inspect(name: string, content: string | Uint8Array, maxBytes = MAX_PAYLOAD_BYTES) {
  using folder = new SpecFolder();
  return await inspectFile({ path: folder.write(name, content), name, maxBytes });
}

const found = { kind: "spec", lcut: options.lcut, hashedSdkKey: djb2(KEY) };

describe("a file with config specs", () => {
  test.each([
    ["specs.json", v1, { version: "v1", format: "json", coding: "" }],
    ["specs.json", v2, { version: "v2", format: "json", coding: "" }],
    // The content decides, also against the name.
    ["specs.v1.json", v2, { version: "v2", format: "json", coding: "" }],
    ["specs.json", ` \n${v2}\n`, { version: "v2", format: "json", coding: "" }],
    ["specs.json.gz", gzipSync(v2), { version: "v2", format: "json", coding: "gzip" }],
    ["specs.json.br", brotliCompressSync(v2), { version: "v2", format: "json", coding: "br" }],
    ["specs.json.zst", zstdCompressSync(v1), { version: "v1", format: "json", coding: "zstd" }],
    // As a client saves it that asked for compression.
    ["specs.json", gzipSync(v2), { version: "v2", format: "json", coding: "gzip" }],
    ["specs.json", brotliCompressSync(v2), { version: "v2", format: "json", coding: "br" }],
    ["specs.json", zstdCompressSync(v2), { version: "v2", format: "json", coding: "zstd" }],
    ["specs.json", specProto(options), { version: "v2", format: "proto", coding: "statsig-br" }],
    ["specs.statsig-br", specProto(options), { version: "v2", format: "proto", coding: "statsig-br" }],
    ["specs.v1.statsig-br", specProto(options), { version: "v1", format: "proto", coding: "statsig-br" }],
  ])("%s: what is in it is found out", async (name, content, expected) => {
    const inspected: object = await inspect(name, content);
    expect(inspected).toEqual({ ...found, ...expected });
  });

  test("the name says the version if no member does", async () => {
    const bare = JSON.stringify({ time: options.lcut, has_updates: true });
    expect(await inspect("specs.v1.json", bare)).toMatchObject({ kind: "spec", version: "v1" });
    expect(await inspect("specs.json", bare)).toMatchObject({ kind: "unusable" });
    const mixed = JSON.stringify({ time: options.lcut, feature_gates: [], dynamic_configs: {} });
    expect(await inspect("specs.v2.json", mixed)).toMatchObject({ kind: "spec", version: "v2" });
  });

  test("it may name no SDK key", async () => {
    const unnamed = JSON.stringify(specV2({ lcut: options.lcut }));
    expect(await inspect("specs.json", unnamed)).toMatchObject({ kind: "spec", hashedSdkKey: undefined });
  });
});

describe("a file that cannot be served", () => {
  const tomorrow = Date.now() + 25 * 3_600_000;
  test.each([
    ["empty", "a.json", "", "it is empty"],
    ["an error message", "a.json", "Unauthorized", "it is not a JSON object; an error message may have"],
    ["an HTML page", "a.json", "<html><body>502</body></html>", "it is not a JSON object"],
    ["an array", "a.json", "[]", "it is not a JSON object"],
    ["truncated JSON", "a.json", v2.slice(0, -1), "the body is not a JSON object"],
    ["truncated gzip", "a.json.gz", gzipSync(v2).subarray(0, -9), "the body does not decode as gzip"],
    [
      "truncated brotli",
      "a.json.br",
      brotliCompressSync(v2).subarray(0, -9),
      "the body does not decode as br",
    ],
    [
      "truncated zstd",
      "a.json.zst",
      zstdCompressSync(v2).subarray(0, -9),
      "the body does not decode as zstd",
    ],
    ["no update", "a.json", '{"has_updates":false}', "it says that there are no updates"],
    ["an error in JSON", "a.json", '{"code":503,"reason":"x"}', "it has no time, so it is no config spec"],
    ["a byte order mark", "a.json", `\ufeff${v2}`, "it begins with a byte order mark"],
    ["UTF-16", "a.json", Buffer.from(`\ufeff${v2}`, "utf16le"), "it begins with a byte order mark"],
    ["the future", "a.json", JSON.stringify(specV2({ lcut: tomorrow })), "is more than 24 h ahead"],
    ["JSON named as protobuf", "a.statsig-br", v2, "the body does not decode as statsig-br"],
    [
      "protobuf without its end",
      "a.statsig-br",
      brotliCompressSync(specEnvelopes(options, { withDone: false })),
      "the protobuf envelopes do not end with DONE",
    ],
  ])("%s", async (_, name, content, reason) => {
    const inspected = await inspect(name, content);
    expect(inspected).toEqual({ kind: "unusable", reason: expect.stringContaining(reason) });
  });

  test("too large when decoded", async () => {
    const bomb = gzipSync(Buffer.alloc(3 * 1024 * 1024, " "));
    const inspected = await inspect("a.json.gz", bomb, 2 * 1024 * 1024);
    expect(inspected).toEqual({ kind: "unusable", reason: expect.stringContaining("larger than the 2 MiB") });
  });

  test("missing", async () => {
    const inspected = await inspectFile({ path: "/there/is/none", name: "none", maxBytes: 1_000 });
    expect(inspected).toEqual({ kind: "unusable", reason: "no such file or directory" });
  });
});
