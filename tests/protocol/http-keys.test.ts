import { describe, expect, test } from "bun:test";
import { textOf } from "../support/clients/raw-get.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";

const shared = shareRelay();

const ask = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  rawHttp(`${shared.relay.httpUrl}${path}`, { headers: Object.entries(headers) });

describe("Config specs over HTTP: the SDK key", () => {
  test("the header statsig-api-key overrides the path", async () => {
    const inHeader = publishKey(shared.upstream, "secret-in-header");
    const inPath = publishKey(shared.upstream, "secret-in-path", 1);
    const path = `/v1/download_config_specs/${inPath.sdkKey}.json`;
    expect(textOf(await ask(path, { "statsig-api-key": inHeader.sdkKey }))).toBe(inHeader.v1);
    expect(textOf(await ask(path))).toBe(inPath.v1);
    const unknown = await ask(path, { "statsig-api-key": "secret-nobody-knows" });
    expect(unknown.status).toBe(401);
  });

  test.each([".json", ".js", ""])(
    "otherwise it is the last path segment without its extension (%p)",
    async (ending) => {
      const { sdkKey, v1, v2 } = publishKey(shared.upstream, "secret-endings");
      expect(textOf(await ask(`/v1/download_config_specs/${sdkKey}${ending}`))).toBe(v1);
      expect(textOf(await ask(`/v2/download_config_specs/${sdkKey}${ending}`))).toBe(v2);
    },
  );

  test("a key never gets specs of another key, not even of one with the same prefix", async () => {
    const keys = ["secret-0123456789abcdefgh", "secret-0123456789abcdefgi", "secret-0123456789abcdefg"];
    const published = keys.map((sdkKey, number) => publishKey(shared.upstream, sdkKey, number));
    for (const _ of ["first sight", "held"]) {
      for (const { sdkKey, v2, proto } of published) {
        const path = `/v2/download_config_specs/${sdkKey}.json`;
        expect(textOf(await ask(path))).toBe(v2);
        const asProto = await ask(`${path}?supports_proto=true`, { "accept-encoding": "statsig-br" });
        expect(asProto.body.equals(proto)).toBe(true);
      }
    }
  });
});

describe("Config specs over HTTP: v1 and v2 are never interchangeable", () => {
  test("each path has its own payload", async () => {
    const { sdkKey, v1, v2 } = publishKey(shared.upstream, "secret-versions");
    expect(textOf(await ask(`/v1/download_config_specs/${sdkKey}.json`))).toBe(v1);
    expect(textOf(await ask(`/v2/download_config_specs/${sdkKey}.json`))).toBe(v2);
  });

  test.each([
    ["v1", "v2"],
    ["v2", "v1"],
  ] as const)("if upstream has only %s, %s is not made of it", async (known, unknown) => {
    const version = versionOf(`secret-only-${known}`);
    shared.upstream.publish(version.sdkKey, known, version[known], version.lcut);
    expect(textOf(await ask(`/${known}/download_config_specs/${version.sdkKey}.json`))).toBe(version[known]);
    expect((await ask(`/${unknown}/download_config_specs/${version.sdkKey}.json`)).status).toBe(401);
  });
});

describe("Config specs over HTTP: the query parameter supports_proto overrides the header", () => {
  const offered = { "accept-encoding": "statsig-br, gzip, deflate, br" };
  const rows = [
    { query: "?supports_proto=true", header: undefined, proto: true },
    { query: "?supports_proto=true", header: "false", proto: true },
    { query: "?supports_proto=false", header: "true", proto: false },
    { query: "?sinceTime=0", header: "true", proto: true },
    { query: "", header: "true", proto: true },
    { query: "", header: "false", proto: false },
    { query: "", header: undefined, proto: false },
  ];

  test.each(rows)('query "$query", header $header: $proto', async ({ query, header, proto: wanted }) => {
    const { sdkKey, v2, proto } = publishKey(shared.upstream, "secret-supports-proto");
    const said = header === undefined ? {} : { "statsig-supports-proto": header };
    const response = await ask(`/v2/download_config_specs/${sdkKey}.json${query}`, { ...offered, ...said });
    if (wanted) expect(response.body.equals(proto)).toBe(true);
    else expect(textOf(response)).toBe(v2);
  });

  test("a client that does not accept statsig-br gets JSON in any case", async () => {
    const { sdkKey, v2 } = publishKey(shared.upstream, "secret-no-statsig-br");
    for (const coding of ["gzip", "br", "identity", "statsig-br;q=0, gzip"]) {
      const headers = { "statsig-supports-proto": "true", "accept-encoding": coding };
      const response = await ask(`/v2/download_config_specs/${sdkKey}.json?supports_proto=true`, headers);
      expect([coding, response.headers["content-type"]]).toEqual([coding, "application/json"]);
      expect(textOf(response)).toBe(v2);
    }
  });
});
