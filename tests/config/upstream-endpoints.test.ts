import { expect, test } from "bun:test";
import { readEndpoints } from "../../src/config/upstream-endpoints.ts";
import { isExemptFromProxy } from "../../src/platform/process/proxies.ts";
import { runRelay } from "../support/relay/run-relay.ts";
import { OutboundProxy } from "../support/upstream/outbound-proxy.ts";

const read = (value: string, env: Readonly<Record<string, string>> = {}) =>
  readEndpoints({ STATSIG_ENDPOINT: value, ...env }).map(({ url, proxied }) => [url, proxied] as const);

test("one URL, or several with blanks around them, in their order", () => {
  expect(read("")).toEqual([["https://api.statsigcdn.com", false]]);
  expect(read("http://one:8000")).toEqual([["http://one:8000", false]]);
  expect(read(" https://two.example , http://one:8000/prefix")).toEqual([
    ["https://two.example", false],
    ["http://one:8000/prefix", false],
  ]);
});

test("whether a proxy is used is decided for each endpoint", () => {
  const env = { HTTPS_PROXY: "http://proxy:3128", NO_PROXY: "relay.internal" };
  expect(read("https://api.statsigcdn.com,https://relay.internal,http://plain.example", env)).toEqual([
    ["https://api.statsigcdn.com", true],
    ["https://relay.internal", false],
    ["http://plain.example", false],
  ]);
});

test.each([
  ["http://one,,http://two", "entry 2 of 3 in STATSIG_ENDPOINT is empty"],
  ["http://one,", "entry 2 of 2 in STATSIG_ENDPOINT is empty"],
  [",http://one", "entry 1 of 2 in STATSIG_ENDPOINT is empty"],
  [",", "entry 1 of 2 in STATSIG_ENDPOINT is empty"],
  ["http://one:80,http://ONE/", "STATSIG_ENDPOINT lists http://one twice"],
  ["https://user:hunter2@one,https://one", "STATSIG_ENDPOINT lists https://one twice"],
  ["http://one,ftp://two", 'invalid value "ftp://two" for STATSIG_ENDPOINT'],
  ["http://one,two.example", 'invalid value "two.example" for STATSIG_ENDPOINT'],
  [Array.from({ length: 9 }, (_, at) => `http://host-${at}`).join(), "STATSIG_ENDPOINT lists 9 URLs"],
])("%s is one clear line, and the relay does not start", async (value, message) => {
  const { exitCode, stdout, stderr } = await runRelay(["http", "disabled"], { STATSIG_ENDPOINT: value });
  expect([exitCode, stdout]).toEqual([2, ""]);
  expect(stderr).toStartWith(`error: ${message}`);
  expect(stderr.trim().split("\n")).toHaveLength(1);
  expect(stderr).not.toContain("hunter2");
});

test("NO_PROXY means to the relay what it means to fetch", async () => {
  await using proxy = await OutboundProxy.start();
  using server = Bun.serve({ hostname: "::", port: 0, fetch: () => new Response("direct") });
  const { port } = server;
  const names = [
    "localhost",
    ".localhost",
    "*.localhost",
    "a.localhost",
    "b.localhost",
    "ocalhost",
    "LOCALHOST",
  ];
  const addresses = [
    "127.0.0.1",
    ".1",
    "0.0.1",
    "127.0.0.0/8",
    "128.0.0.0/8",
    "127.0.0.1/32",
    "::1",
    "[::1]",
    "::/0",
  ];
  const lists = ["", "*", " ,*", "other.example, localhost", "10.0.0.0/8,127.0.0.1", "a.localhost,::1"];
  const ports = ["localhost", ".localhost", "127.0.0.1", "[::1]"].flatMap((host) => [
    `${host}:${port}`,
    `${host}:1`,
  ]);
  const cases = [...names, ...addresses, ...lists, ...ports];
  const urls = ["localhost", "a.localhost", "127.0.0.1", "[::1]"].map((host) => `http://${host}:${port}/`);
  const script = `
    for (const url of ${JSON.stringify(urls)}) for (const list of ${JSON.stringify(cases)}) {
      process.env.NO_PROXY = list;
      await fetch(new URL("?" + encodeURIComponent(list), url)).catch(() => {});
    }`;
  const child = Bun.spawn([process.execPath, "-e", script], { env: { HTTP_PROXY: proxy.url } });
  expect(await child.exited).toBe(0);
  const isThroughProxy = (url: string, list: string) =>
    proxy.seen.includes(`GET ${url}?${encodeURIComponent(list)}`);
  const differing = urls.flatMap((url) =>
    cases
      .filter((list) => isExemptFromProxy(url, list) === isThroughProxy(url, list))
      .map((list) => [url, list]),
  );
  expect(differing).toEqual([]);
}, 30_000);
