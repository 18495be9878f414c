import { beforeAll, describe, expect, test } from "bun:test";
import { textOf } from "../support/clients/raw-get.ts";
import { type RawRequest, rawHttp } from "../support/clients/raw-http.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";

const NO_UPDATE = '{"has_updates":false}';
const shared = shareRelay();
let key: PublishedKey;
beforeAll(() => {
  key = publishKey(shared.upstream, "secret-callers");
});

const ask = (path: string, request: RawRequest = {}) => rawHttp(`${shared.relay.httpUrl}${path}`, request);

const coreHeaders = (sdkKey: string): [string, string][] => [
  ["statsig-api-key", sdkKey],
  ["statsig-sdk-type", "statsig-server-core-node"],
  ["statsig-sdk-version", "0.23.2"],
  ["statsig-server-session-id", "0b2ad4b5-3bd0-4a6f-9f3c-0a1f4bb0e2c7"],
  ["statsig-client-time", "1700000000000"],
  ["statsig-supports-proto", "true"],
  ["accept-encoding", "statsig-br, gzip, deflate, br"],
];

/** Returns every order of `items`. */
const orders = <T>(items: readonly T[]): T[][] =>
  items.length < 2
    ? [[...items]]
    : items.flatMap((item, at) => orders(items.toSpliced(at, 1)).map((rest) => [item, ...rest]));

describe("Config specs over HTTP: core sends GET {specsUrl}/{key}.json", () => {
  test("with supports_proto=true and all its headers", async () => {
    const path = `/v2/download_config_specs/${key.sdkKey}.json?supports_proto=true`;
    const answer = await ask(path, { headers: coreHeaders(key.sdkKey) });
    expect(answer.status).toBe(200);
    expect(answer.headers["content-encoding"]).toBe("statsig-br");
    expect(answer.body.equals(key.proto)).toBe(true);
  });

  test("with sinceTime, checksum and accept_deltas in any order", async () => {
    const { checksum } = JSON.parse(key.v2) as { readonly checksum: string };
    const parts = ["supports_proto=true", `checksum=${checksum}`, "accept_deltas=true"];
    const older = orders([...parts, `sinceTime=${key.lcut - 1}`]);
    const equal = orders([...parts, `sinceTime=${key.lcut}`]);
    const answersTo = (queries: readonly string[][]) =>
      Promise.all(
        queries.map((query) =>
          ask(`/v2/download_config_specs/${key.sdkKey}.json?${query.join("&")}`, {
            headers: coreHeaders(key.sdkKey),
          }),
        ),
      );
    for (const { body } of await answersTo(older)) expect(body.equals(key.proto)).toBe(true);
    for (const { body } of await answersTo(equal)) expect(body.toString()).toBe(NO_UPDATE);
  });

  test("with //key.json, if specsUrl ends in a slash", async () => {
    const path = `/v2/download_config_specs//${key.sdkKey}.json?supports_proto=true`;
    const answer = await ask(path, { headers: coreHeaders(key.sdkKey) });
    expect(answer.body.equals(key.proto)).toBe(true);
    const keyInPathAlone = await ask(`/v2/download_config_specs//${key.sdkKey}.json`);
    expect(textOf(keyInPathAlone)).toBe(key.v2);
  });

  test("over a new connection for each request, many in parallel", async () => {
    const path = `/v2/download_config_specs/${key.sdkKey}.json?supports_proto=true`;
    const sent = Array.from({ length: 100 }, () => ask(path, { headers: coreHeaders(key.sdkKey) }));
    for (const answer of await Promise.all(sent)) expect(answer.body.equals(key.proto)).toBe(true);
  });
});

describe("Config specs over HTTP: legacy SDKs send GET {api}/download_config_specs/{key}.json", () => {
  const callers = [
    { caller: "node", headers: [["accept-encoding", "gzip,deflate"]], coding: "gzip" },
    { caller: "java", headers: [["accept-encoding", "gzip"]], coding: "gzip" },
    { caller: "net", headers: [["accept-encoding", "gzip"]], coding: "gzip" },
    { caller: "py", headers: [["Accept-Encoding", "gzip, deflate, br"]], coding: "br" },
    { caller: "go", headers: [["Accept-Encoding", "gzip"]], coding: "gzip" },
  ] as const;

  test.each(callers)("$caller: sinceTime left out when 0, then its lcut", async ({ headers, coding }) => {
    const withKey: RawRequest = { headers: [...headers, ["STATSIG-API-KEY", key.sdkKey]] };
    const path = `/v1/download_config_specs/${key.sdkKey}.json`;
    const all = await ask(path, withKey);
    expect(all.headers["content-encoding"]).toBe(coding);
    expect(textOf(all)).toBe(key.v1);
    expect(textOf(await ask(`${path}?sinceTime=${key.lcut - 1}`, withKey))).toBe(key.v1);
    expect((await ask(`${path}?sinceTime=${key.lcut}`, withKey)).body.toString()).toBe(NO_UPDATE);
  });

  test("py sends Connection: close, and the connection is closed after the response", async () => {
    // rawHttp reads until the server closes.
    const answer = await ask(`/v1/download_config_specs/${key.sdkKey}.json`);
    expect(answer.body.toString()).toBe(key.v1);
  });
});

test("Config specs over HTTP: ruby sends GET {v2 url}/{key}.json with gzip alone, and gets the v2 shape", async () => {
  const answer = await ask(`/v2/download_config_specs/${key.sdkKey}.json`, {
    headers: [
      ["STATSIG-API-KEY", key.sdkKey],
      ["Accept-Encoding", "gzip"],
    ],
  });
  expect(answer.headers["content-encoding"]).toBe("gzip");
  expect(textOf(answer)).toBe(key.v2);
});

test("Config specs over HTTP: go without its CDN sends GET {api}/download_config_specs[?sinceTime], key in the header", async () => {
  const headers: [string, string][] = [["STATSIG-API-KEY", key.sdkKey]];
  expect(textOf(await ask("/v1/download_config_specs", { headers }))).toBe(key.v1);
  const again = await ask(`/v1/download_config_specs?sinceTime=${key.lcut}`, { headers });
  expect(again.body.toString()).toBe(NO_UPDATE);
});

describe("Config specs over HTTP: legacy rust sends POST {api}/download_config_specs, key in the header", () => {
  const post = (body: object) =>
    ask("/v1/download_config_specs", {
      method: "POST",
      headers: [
        ["statsig-api-key", key.sdkKey],
        ["content-type", "application/json"],
      ],
      body: JSON.stringify({ ...body, statsigMetadata: { sdkType: "rust-server", sdkVersion: "0.1.0" } }),
    });

  test("with sinceTime 0: everything", async () => {
    const answer = await post({ sinceTime: 0 });
    expect([answer.status, textOf(answer)]).toEqual([200, key.v1]);
  });

  test("with an older sinceTime: everything; with its lcut: no update", async () => {
    expect(textOf(await post({ sinceTime: key.lcut - 1 }))).toBe(key.v1);
    expect(textOf(await post({ sinceTime: key.lcut }))).toBe(NO_UPDATE);
  });
});

test("Config specs over HTTP: any client may send GET /v1/get_id_lists/{key}.json (CDN form)", async () => {
  const answer = await ask(`/v1/get_id_lists/${key.sdkKey}.json`);
  expect([answer.status, answer.headers["content-type"], answer.body.toString()]).toEqual([
    200,
    "application/json",
    "{}",
  ]);
});
