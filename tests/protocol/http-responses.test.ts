import { describe, expect, test } from "bun:test";
import { textOf } from "../support/clients/raw-get.ts";
import { rawHttp } from "../support/clients/raw-http.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { forKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { answer as answerOf } from "../support/upstream/upstream-request.ts";

const NO_UPDATE = '{"has_updates":false}';
const shared = shareRelay();

const ask = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  rawHttp(`${shared.relay.httpUrl}${path}`, { headers: Object.entries(headers) });
const pathOf = (sdkKey: string, version: "v1" | "v2", query = "") =>
  `/${version}/download_config_specs/${sdkKey}.json${query}`;
const protoOffered = { "accept-encoding": "statsig-br, gzip, deflate, br", "statsig-supports-proto": "true" };

describe("Config specs over HTTP: new specs", () => {
  test.each(["v1", "v2"] as const)(
    "%s: 200, application/json, Content-Encoding of the body, x-since-time, the text of upstream",
    async (version) => {
      const published = publishKey(shared.upstream, "secret-new-specs");
      for (const coding of ["identity", "gzip", "br", "zstd"]) {
        for (const query of ["", `?sinceTime=${published.lcut - 1}`]) {
          const response = await ask(pathOf(published.sdkKey, version, query), { "accept-encoding": coding });
          expect(response.status).toBe(200);
          expect(response.headers["content-type"]).toBe("application/json");
          expect(response.headers["content-encoding"] ?? "identity").toBe(coding);
          expect(response.headers["content-length"]).toBe(String(response.body.byteLength));
          expect(response.headers["x-since-time"]).toBe(String(published.lcut));
          expect(textOf(response)).toBe(published[version]);
        }
      }
    },
  );

  test("the body's time and checksum, which clients read, are those of upstream", async () => {
    const { sdkKey, lcut } = versionOf("secret-time-and-checksum");
    shared.upstream.publish(sdkKey, "v2", specV2({ lcut, checksum: "987654321" }));
    const body: unknown = JSON.parse(textOf(await ask(pathOf(sdkKey, "v2"))));
    expect(body).toMatchObject({ time: lcut, checksum: "987654321", has_updates: true });
  });

  test("ignores accept_deltas: sends a full payload, and never requests a delta from upstream", async () => {
    const { sdkKey, lcut, v2, proto } = publishKey(shared.upstream, "secret-deltas");
    const query = `?accept_deltas=true&checksum=1&sinceTime=${lcut - 1}`;
    expect(textOf(await ask(pathOf(sdkKey, "v2", query)))).toBe(v2);
    expect((await ask(pathOf(sdkKey, "v2", query), protoOffered)).body.equals(proto)).toBe(true);
    const asked = shared.upstream.requests.filter(({ path }) => path.includes(sdkKey));
    expect(asked.length).toBeGreaterThan(0);
    for (const { query: sent } of asked) expect([...sent.keys()]).not.toContain("accept_deltas");
  });

  test("never serves a body with another key's hashed_sdk_key_used", async () => {
    const { v2, lcut } = versionOf("secret-other");
    shared.upstream.publish("secret-mine", "v2", v2, lcut);
    for (let attempt = 0; attempt < 2; attempt++) {
      const response = await ask(pathOf("secret-mine", "v2"));
      expect(response.status).toBe(503);
      expect(response.body.toString()).not.toContain("gate_public");
    }
  });
});

describe("Config specs over HTTP: nothing newer than sinceTime", () => {
  test.each(["v1", "v2"] as const)(
    '%s: 200 {"has_updates":false}, plain JSON, never compressed, with x-since-time',
    async (version) => {
      const { sdkKey, lcut } = publishKey(shared.upstream, "secret-nothing-newer");
      for (const sinceTime of [lcut, lcut + 1, lcut + 1e9]) {
        for (const coding of ["identity", "gzip", "zstd, br, gzip", "statsig-br, gzip, deflate, br"]) {
          const query = `?sinceTime=${sinceTime}`;
          const response = await ask(pathOf(sdkKey, version, query), { "accept-encoding": coding });
          expect(response.status).toBe(200);
          expect(response.headers["content-type"]).toBe("application/json");
          expect(response.headers["content-encoding"]).toBeUndefined();
          expect(response.headers["x-since-time"]).toBe(String(lcut));
          expect(response.body.toString()).toBe(NO_UPDATE);
        }
      }
    },
  );

  test('"no update" stays JSON if the specs are protobuf', async () => {
    const { sdkKey, lcut } = publishKey(shared.upstream, "secret-proto-nothing-newer");
    const query = `?supports_proto=true&sinceTime=${lcut}`;
    for (const _ of ["cache miss", "cached"]) {
      const response = await ask(pathOf(sdkKey, "v2", query), protoOffered);
      expect([response.status, response.headers["content-type"]]).toEqual([200, "application/json"]);
      expect(response.headers["content-encoding"]).toBeUndefined();
      expect(response.headers["x-since-time"]).toBe(String(lcut));
      expect(response.body.toString()).toBe(NO_UPDATE);
    }
  });

  test.each(["0", "", "-1", "abc", "NaN", "null", "1e400", "00"])(
    "never for sinceTime %p: core would report success with zero configs",
    async (sinceTime) => {
      const { sdkKey, v1, proto } = publishKey(shared.upstream, "secret-since-zero");
      const query = `?sinceTime=${sinceTime}`;
      expect(textOf(await ask(pathOf(sdkKey, "v1", query)))).toBe(v1);
      expect((await ask(pathOf(sdkKey, "v2", query), protoOffered)).body.equals(proto)).toBe(true);
    },
  );

  test("never if upstream itself sends it to a first request", async () => {
    const { sdkKey } = publishKey(shared.upstream, "secret-first-is-none");
    const restore = shared.upstream.misbehave(
      { kind: "edit", edit: () => answerOf(200, NO_UPDATE, { "content-type": "application/json" }) },
      forKey(sdkKey),
    );
    expect((await ask(pathOf(sdkKey, "v1"))).status).toBe(503);
    expect((await ask(pathOf(sdkKey, "v2", "?sinceTime=1"))).status).toBe(503);
    restore();
  });
});

describe("Config specs over HTTP: protobuf specs", () => {
  test("byte for byte, with application/octet-stream and statsig-br both", async () => {
    const { sdkKey, lcut, proto } = publishKey(shared.upstream, "secret-proto");
    for (const query of ["?supports_proto=true", `?supports_proto=true&sinceTime=${lcut - 1}`]) {
      const response = await ask(pathOf(sdkKey, "v2", query), protoOffered);
      expect(response.status).toBe(200);
      expect(response.headers["content-type"]).toBe("application/octet-stream");
      expect(response.headers["content-encoding"]).toBe("statsig-br");
      expect(response.headers["x-since-time"]).toBe(String(lcut));
      expect(response.body.equals(proto)).toBe(true);
    }
  });

  test("JSON if upstream sends JSON to a request that supports protobuf", async () => {
    const { sdkKey, lcut, v2 } = versionOf("secret-json-for-proto");
    shared.upstream.publish(sdkKey, "v2", v2, lcut);
    for (const _ of ["cache miss", "cached"]) {
      const response = await ask(pathOf(sdkKey, "v2", "?supports_proto=true"), protoOffered);
      expect([response.status, response.headers["content-type"]]).toEqual([200, "application/json"]);
      expect(["gzip", "br"]).toContain(response.headers["content-encoding"] ?? "identity");
      expect(response.headers["x-since-time"]).toBe(String(lcut));
      expect(textOf(response)).toBe(v2);
    }
  });
});
