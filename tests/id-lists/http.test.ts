import { describe, expect, test } from "bun:test";
import { rawHttp } from "../support/clients/raw-http.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { listed } from "../support/id-lists/id-list-upstream.ts";

const key = "secret-lists";
const text = listed("acme") + listed("globex");

async function startRelay(values: Readonly<Record<string, string>> = {}): Promise<IdListRelay> {
  const relay = await IdListRelay.start({ values });
  relay.upstream.put(key, "companies", text);
  return relay;
}

describe("the manifest, passed through", () => {
  test("is served for POST with {}, with statsigMetadata or without a body, and for GET with the key in path or header", async () => {
    await using relay = await startRelay();
    const headers: [string, string][] = [["statsig-api-key", key]];
    const requests = [
      { path: "/v1/get_id_lists", method: "POST", headers, body: "{}" },
      { path: "/v1/get_id_lists", method: "POST", headers, body: '{"statsigMetadata":{"sdkType":"py"}}' },
      {
        path: "/v1/get_id_lists",
        method: "POST",
        headers: [...headers, ["content-length", "0"]] as typeof headers,
      },
      { path: "/v1/get_id_lists", headers },
      { path: `/v1/get_id_lists/${key}.json` },
      { path: `/v1/get_id_lists/secret-other.json`, headers },
    ];
    for (const { path, ...request } of requests) {
      const answer = await rawHttp(`${relay.url}${path}`, request);
      expect(answer.status).toBe(200);
      expect(answer.headers["content-type"]).toBe("application/json");
      expect(JSON.parse(answer.body.toString())).toEqual({
        companies: relay.upstream.entry(key, "companies"),
      });
    }
    expect(relay.upstream.requests).toMatchObject([
      { method: "POST", path: "/v1/get_id_lists", key, body: "{}", version: expect.stringMatching(/^\d/) },
    ]);
    // Without --proxy-id-lists, files are served on demand, with the SDK key.
    expect((await fetch(`${relay.url}/v1/download_id_list_file/file`)).status).toBe(400);
  });

  test("responds 401 to an unknown key, 400 without a key, and 405 to another method", async () => {
    await using relay = await startRelay();
    const ask = (path: string, method = "GET") => fetch(`${relay.url}${path}`, { method });
    const unknown = await ask("/v1/get_id_lists/secret-unknown.json");
    expect([unknown.status, await unknown.text()]).toEqual([401, "Unauthorized"]);
    await ask("/v1/get_id_lists/secret-unknown.json");
    expect(relay.upstream.manifestsAsked("secret-unknown")).toBe(1);
    expect((await ask("/v1/get_id_lists", "POST")).status).toBe(400);
    expect((await ask("/v1/get_id_lists/not%20a%20key.json")).status).toBe(400);
    expect((await ask("/v1/get_id_lists", "DELETE")).status).toBe(405);
  });

  test("takes one request to upstream for a hundred concurrent clients", async () => {
    await using relay = await startRelay();
    await Promise.all(Array.from({ length: 100 }, () => relay.manifest(key)));
    expect(relay.upstream.manifestsAsked(key)).toBe(1);
  });

  test("is polled once a minute, even if config specs are polled more often", async () => {
    await using relay = await startRelay({ "polling-interval-in-s": "1" });
    await relay.manifest(key);
    expect(relay.clock.wake(60_000.001, 66_000)).toBe(1);
    await using slow = await startRelay({ "polling-interval-in-s": "300" });
    await slow.manifest(key);
    expect(slow.clock.wake(300_000.001, 330_000)).toBe(1);
  });

  test("is cached for at most -m keys: the least recently used is no longer polled", async () => {
    const values = { "maximum-concurrent-sdk-keys": "2", "unknown-key-rate-per-s": "10000" };
    await using relay = await startRelay(values);
    for (const sdkKey of ["secret-1", "secret-2", "secret-3"]) {
      relay.upstream.put(sdkKey, "list", text);
      await relay.manifest(sdkKey);
    }
    await relay.poll();
    const asked = ["secret-1", "secret-2", "secret-3"].map((each) => relay.upstream.manifestsAsked(each));
    expect(asked).toEqual([1, 2, 2]);
  });
});

describe("the manifest with --proxy-id-lists", () => {
  test("has URLs with the host of the request, or with --public-url", async () => {
    await using relay = await startRelay({ "proxy-id-lists": "true" });
    const entry = relay.upstream.entry(key, "companies");
    const path = "/v1/download_id_list_file/file%2Fcompanies";
    expect(await relay.manifest(key)).toEqual({ companies: { ...entry, url: `${relay.url}${path}` } });
    const named = await relay.manifest(key, { host: "relay.internal:8000" });
    expect(named["companies"]?.url).toBe(`http://relay.internal:8000${path}`);

    await using known = await startRelay({
      "proxy-id-lists": "true",
      "public-url": "https://lists.example/sfp/",
    });
    expect((await known.manifest(key))["companies"]?.url).toBe(`https://lists.example/sfp${path}`);
  });

  test("distinguishes files of two keys that have the same fileID", async () => {
    await using relay = await startRelay({ "proxy-id-lists": "true" });
    relay.upstream.put("secret-others", "companies", listed("initech"));
    expect(await relay.text(key, "companies")).toBe(text);
    expect(await relay.text("secret-others", "companies")).toBe(listed("initech"));
    expect(await relay.text(key, "companies")).toBe(text);
  });
});

describe("a list file", () => {
  const size = text.length;
  const cases: readonly [string, string, Record<string, string>, number, string, string | undefined][] = [
    ["whole", "", {}, 200, text, undefined],
    ["from a byte on", "", { range: "bytes=10-" }, 206, text.slice(10), `bytes 10-${size - 1}/${size}`],
    ["from the first byte on", "", { range: "bytes=0-" }, 206, text, `bytes 0-${size - 1}/${size}`],
    ["between two", "", { range: "bytes=0-9" }, 206, text.slice(0, 10), `bytes 0-9/${size}`],
    [
      "up to beyond the end",
      "",
      { range: "bytes=10-999" },
      206,
      text.slice(10),
      `bytes 10-${size - 1}/${size}`,
    ],
    ["the last bytes", "", { range: "bytes=-10" }, 206, text.slice(-10), `bytes 10-${size - 1}/${size}`],
    [
      "by the query, as Rust-cored SDKs request it",
      "?range=10-",
      {},
      206,
      text.slice(10),
      `bytes 10-${size - 1}/${size}`,
    ],
    ["from the end on", "", { range: `bytes=${size}-` }, 416, "", `bytes */${size}`],
    ["beyond the end", "", { range: "bytes=999-1000" }, 416, "", `bytes */${size}`],
    ["in another unit", "", { range: "lines=1-2" }, 200, text, undefined],
    ["backwards", "", { range: "bytes=5-2" }, 200, text, undefined],
    ["several ranges", "", { range: "bytes=0-1,3-4" }, 200, text, undefined],
    [
      "with an If-Range, which never matches",
      "",
      { range: "bytes=1-", "if-range": '"x"' },
      200,
      text,
      undefined,
    ],
  ];

  test.each(cases)("is served %s", async (_, query, headers, status, body, range) => {
    await using relay = await startRelay({ "proxy-id-lists": "true" });
    const url = `${(await relay.manifest(key))["companies"]?.url}${query}`;
    for (const method of ["GET", "HEAD"]) {
      const offered = { "accept-encoding": "gzip, br, zstd", ...headers };
      const answer = await rawHttp(url, { method, headers: Object.entries(offered) });
      expect(answer.status).toBe(status);
      expect(answer.headers["content-range"]).toBe(range as string);
      expect(answer.headers["content-encoding"]).toBeUndefined();
      expect(answer.headers["transfer-encoding"]).toBeUndefined();
      if (status === 416) continue;
      expect(answer.headers["content-length"]).toBe(String(body.length));
      expect(answer.body.toString()).toBe(method === "HEAD" ? "" : body);
    }
  });

  test("is 404 if no manifest has it, even if its name contains a path", async () => {
    await using relay = await startRelay({ "proxy-id-lists": "true" });
    await relay.manifest(key);
    const names = [
      "unlisted",
      "",
      "..%2F..%2Fetc%2Fpasswd",
      "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
      "../../../../etc/passwd",
      "%2Fetc%2Fpasswd",
      "..%5C..%5Cetc%5Cpasswd",
      "file%2Fcompanies%00",
      "%",
      "%E0%A4%A",
      "0%2Flock",
    ];
    for (const name of names) {
      const answer = await rawHttp(`${relay.url}/v1/download_id_list_file/${name}`);
      expect([name, answer.status]).toEqual([name, 404]);
      expect(answer.body.toString()).not.toContain("root:");
    }
  });

  test("is served if its fileID is like a path, and stays in its folder", async () => {
    await using relay = await startRelay({ "proxy-id-lists": "true" });
    const fileID = "../../../../tmp/sfp-escaped";
    relay.upstream.put("secret-path", "list", text, { fileID });
    expect(await relay.text("secret-path", "list")).toBe(text);
    expect(await Bun.file("/tmp/sfp-escaped").exists()).toBe(false);
  });
});
