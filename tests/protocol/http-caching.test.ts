import { describe, expect, test } from "bun:test";
import { type RawResponse, textOf } from "../support/clients/raw-get.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { eventually } from "../support/common/wait.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";

const PATIENT = { withinMs: 15_000 };
const shared = shareRelay();

const ask = (
  { sdkKey }: PublishedKey,
  headers: Readonly<Record<string, string>> = {},
  { method = "GET", query = "" } = {},
): Promise<RawResponse> =>
  rawHttp(`${shared.relay.httpUrl}/v2/download_config_specs/${sdkKey}.json${query}`, {
    method,
    headers: Object.entries(headers),
  });

const tagOf = ({ headers }: RawResponse): string => {
  expect(headers.etag).toMatch(/^"[^"]+"$/);
  return String(headers.etag);
};

const codings = ["identity", "gzip", "br", "zstd"];
const protoHeaders = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };

describe("Config specs over HTTP: ETag and If-None-Match", () => {
  test("each coding has its own tag, which changes only with the version", async () => {
    const key = publishKey(shared.upstream, "secret-etag");
    const tags = new Set<string>();
    for (const coding of codings) {
      const tag = tagOf(await ask(key, { "accept-encoding": coding }));
      expect(tagOf(await ask(key, { "accept-encoding": coding }))).toBe(tag);
      tags.add(tag);
    }
    tags.add(tagOf(await ask(key, protoHeaders)));
    expect(tags.size).toBe(codings.length + 1);
  });

  test.each([
    ["the tag", (tag: string) => tag],
    ["the weak tag", (tag: string) => `W/${tag}`],
    ["a list with the tag", (tag: string) => `"other", ${tag}`],
    ["*", () => "*"],
  ])("%s gives 304 without a body, with ETag, Vary and x-since-time", async (_, ifNoneMatch) => {
    const key = publishKey(shared.upstream, "secret-if-none-match");
    for (const headers of [...codings.map((coding) => ({ "accept-encoding": coding })), protoHeaders]) {
      const tag = tagOf(await ask(key, headers));
      const again = await ask(key, { ...headers, "if-none-match": ifNoneMatch(tag) });
      expect([again.status, again.body.byteLength]).toEqual([304, 0]);
      expect(again.headers.etag).toBe(tag);
      expect(again.headers.vary?.toLowerCase()).toContain("accept-encoding");
      expect(again.headers["x-since-time"]).toBe(String(key.lcut));
    }
  });

  test("the tag of another coding, another version or nothing gives the specs", async () => {
    const key = publishKey(shared.upstream, "secret-none-matches");
    const gzipTag = tagOf(await ask(key, { "accept-encoding": "gzip" }));
    for (const ifNoneMatch of [gzipTag, '"other"', ""]) {
      const answer = await ask(key, { "accept-encoding": "br", "if-none-match": ifNoneMatch });
      expect([answer.status, textOf(answer)]).toEqual([200, key.v2]);
    }
    const newer = publishKey(shared.upstream, key.sdkKey, 1);
    await eventually(async () => {
      const answer = await ask(key, { "accept-encoding": "gzip", "if-none-match": gzipTag });
      expect([answer.status, textOf(answer)]).toEqual([200, newer.v2]);
      expect(tagOf(answer)).not.toBe(gzipTag);
    }, PATIENT);
  });
});

test("Config specs over HTTP: Vary names everything that a response depends on, for specs and no update alike", async () => {
  const key = publishKey(shared.upstream, "secret-vary");
  const answers = [
    await ask(key),
    await ask(key, { "accept-encoding": "gzip" }),
    await ask(key, protoHeaders),
    await ask(key, {}, { query: `?sinceTime=${key.lcut}` }),
  ];
  for (const { headers } of answers) {
    const names = (headers.vary ?? "").toLowerCase().split(/\s*,\s*/);
    expect(names).toContain("accept-encoding");
    expect(names).toContain("statsig-api-key");
    expect(names).toContain("statsig-supports-proto");
  }
});

describe("Config specs over HTTP: HEAD", () => {
  const withoutDate = ({ headers: { date: _, ...headers } }: RawResponse) => headers;

  test("has the headers of GET, including Content-Length, and no body", async () => {
    const key = publishKey(shared.upstream, "secret-head");
    const forms = [...codings.map((coding) => ({ "accept-encoding": coding })), protoHeaders];
    for (const headers of forms) {
      for (const query of ["", `?sinceTime=${key.lcut}`]) {
        const [got, head] = await eventually(async () => {
          const both = [
            await ask(key, headers, { query }),
            await ask(key, headers, { query, method: "HEAD" }),
          ];
          // A poll between the two changes this header.
          const [before, after] = both.map((each) => each.headers["x-sfp-confirmed-at"]);
          expect(after).toBe(before as string);
          return both as [RawResponse, RawResponse];
        });
        expect([head.status, head.body.byteLength]).toEqual([200, 0]);
        expect(withoutDate(head)).toEqual(withoutDate(got));
        expect(head.headers["content-length"]).toBe(String(got.body.byteLength));
      }
    }
  });

  test("handles a cache miss, 304 and 401 as GET does", async () => {
    const key = publishKey(shared.upstream, "secret-head-first");
    const first = await ask(key, {}, { method: "HEAD" });
    expect([first.status, first.headers["content-length"]]).toEqual([200, String(key.v2.length)]);
    const again = await ask(key, { "if-none-match": tagOf(first) }, { method: "HEAD" });
    expect(again.status).toBe(304);
    const unknown = await ask({ ...key, sdkKey: "secret-head-unknown" }, {}, { method: "HEAD" });
    expect([unknown.status, unknown.body.byteLength]).toEqual([401, 0]);
  });
});
