import { describe, expect, test } from "bun:test";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { type Answer, answer, jsonAnswer } from "../support/upstream/upstream-request.ts";

const NO_UPDATE = '{"has_updates":false}';
const json = { "content-type": "application/json" };
const PATIENT = { withinMs: 15_000 };
const shared = shareRelay();

const ask = (sdkKey: string, query = "", headers: Readonly<Record<string, string>> = {}) =>
  rawGet(`${shared.relay.httpUrl}/v2/download_config_specs/${sdkKey}.json${query}`, headers);

/** The body is invalid, to detect a relay that reads it. */
const withCacheHit = (right: Answer): Answer => ({
  ...right,
  body: Buffer.from("not a body to look at"),
  headers: { ...json, "x-cache-hit": "true" },
});

const forms: readonly { readonly form: string; readonly edit: (right: Answer) => Answer }[] = [
  { form: "x-cache-hit: true", edit: withCacheHit },
  { form: "304", edit: () => answer(304) },
  { form: "the body", edit: () => jsonAnswer({ has_updates: false }) },
  { form: "the body as text/plain", edit: () => answer(200, NO_UPDATE, { "content-type": "text/plain" }) },
  { form: "the body with spaces", edit: () => answer(200, ' { "has_updates" : false }\n', json) },
  { form: "the body with more fields", edit: () => jsonAnswer({ time: 0, has_updates: false, extra: [1] }) },
  {
    form: "the body in gzip",
    edit: () => answer(200, gzipSync(NO_UPDATE), { ...json, "content-encoding": "gzip" }),
  },
  {
    form: "the body in br",
    edit: () => answer(200, brotliCompressSync(NO_UPDATE), { ...json, "content-encoding": "br" }),
  },
  {
    form: "the body in zstd",
    edit: () => answer(200, zstdCompressSync(NO_UPDATE), { ...json, "content-encoding": "zstd" }),
  },
];

describe.concurrent('Upstream requests: "no update" keeps the held version, and is not a failure', () => {
  test.each(forms.map((each, number) => ({ ...each, number })))(
    "$form",
    async ({ edit, number }) => {
      const sdkKey = `secret-no-update-${number}`;
      const { lcut, v2 } = publishKey(shared.upstream, sdkKey);
      await ask(sdkKey);
      shared.upstream.misbehave({ kind: "edit", edit }, forKey(sdkKey));
      const polls = () => shared.upstream.requests.filter(({ path }) => path.includes(sdkKey)).slice(1);
      // The relay has read the responses to all of them but the last.
      await eventually(() => expect(polls().length).toBeGreaterThanOrEqual(3), PATIENT);
      for (const { query } of polls()) expect(query.get("sinceTime")).toBe(String(lcut));
      const held = await ask(sdkKey);
      expect([textOf(held), held.headers["x-since-time"]]).toEqual([v2, String(lcut)]);
      expect(shared.relay.output()).not.toContain("failing");
    },
    30_000,
  );

  test("protobuf: a JSON body means the same", async () => {
    const sdkKey = "secret-no-update-proto";
    const { proto } = publishKey(shared.upstream, sdkKey);
    const headers = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };
    await ask(sdkKey, "", headers);
    // The test upstream responds to polls with has_updates: false.
    const polls = () => shared.upstream.count(new RegExp(sdkKey));
    await eventually(() => expect(polls()).toBeGreaterThanOrEqual(3), PATIENT);
    expect((await ask(sdkKey, "", headers)).body.equals(proto)).toBe(true);
  });
});
