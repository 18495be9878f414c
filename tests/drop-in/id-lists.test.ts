import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json";
import { readConfig } from "../../src/config/config.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { FileUpstream } from "../support/id-lists/file-upstream.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { FILE, FILE_CHECK_ROWS, FILE_ROWS, type FileCheck, ID } from "./id-lists.rows.ts";

const stack = new AsyncDisposableStack();
let upstream: FileUpstream;
/** Fetches files from `upstream`, and manifests from another host. */
let relay: RelayProcess;
let folders: string;

const OBSERVER = "--id-list-file-refresh-observer-enabled";

const start = async (name: string, args: readonly string[] = [], env: Record<string, string> = {}) =>
  startRelayProcess({
    mode: "http",
    env: { STATSIG_ENDPOINT: upstream.url, ...env },
    args: ["--local-cache-path", join(folders, name), ...args],
  });

beforeAll(async () => {
  folders = await mkdtemp(join(tmpdir(), "sfp-drop-in-files-"));
  stack.defer(() => rm(folders, { recursive: true, force: true }));
  upstream = stack.use(new FileUpstream());
  for (const [id, file] of [
    [ID, FILE],
    ["forbidden", 403],
    ["empty", ""],
    ["nonsense", "no list\n"],
  ] as const) {
    upstream.files.set(id, file);
  }
  relay = stack.use(await start("shared", [], { STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE: upstream.url }));
}, 30_000);

afterAll(() => stack.disposeAsync());

testRows(FILE_ROWS, async ({ path, headers = {}, status, body, answers = {} }) => {
  const answer = await rawGet(`${relay.httpUrl}${path}`, headers);
  expect(answer.status).toBe(status);
  expect(answer.headers).toMatchObject(answers);
  const text = answer.body.toString();
  if (typeof body === "string") expect(text).toBe(body);
  if (status === 400)
    expect(JSON.parse(text)).toMatchObject({ code: 400, message: expect.stringMatching(body ?? "") });
  if (status === 503) expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
});

const getFile = (from: RelayProcess, id: string, query = "", headers: Record<string, string> = {}) =>
  rawGet(`${from.httpUrl}/v1/download_id_list_file/${id}${query}`, {
    "statsig-api-key": "secret-files",
    ...headers,
  });

const withSize = (size: number) => ({ "statsig-id-list-file-size": String(size) });

/** Serves a manifest of one list with this URL, and returns the answer of the relay. */
async function getManifest(from: RelayProcess, sdkKey: string, url: string): Promise<string> {
  const entry = { name: "list", url, fileID: "f", size: FILE.length, creationTime: 1 };
  upstream.manifests.set(sdkKey, { list: entry });
  return (await rawGet(`${from.httpUrl}/v1/get_id_lists/${sdkKey}.json`)).body.toString();
}

const deltas = (path: string) => rawGet(`${relay.httpUrl}/v2/download_config_specs_deltas${path}`);

async function expectDeltaError(path: string, message: string): Promise<void> {
  const { status, body } = await deltas(path);
  expect([status, JSON.parse(body.toString())]).toEqual([400, { code: 400, reason: "Bad Request", message }]);
}

const CHECKS: Readonly<Record<FileCheck, () => unknown>> = {
  "one request for many clients": async () => {
    upstream.files.set("popular", FILE);
    for (const client of [1, 2, 3]) {
      expect((await getFile(relay, "popular", `?sig=${client}`)).body.toString()).toBe(FILE);
    }
    expect(upstream.asked("popular")).toHaveLength(1);
  },
  "path and query": async () => {
    upstream.files.set("signed%2Fby", FILE);
    await getFile(relay, "signed%2Fby", "?sv=2020&sig=a%2Bb%3D&k=secret-files");
    expect(upstream.asked("signed%2Fby")).toMatchObject([{ query: "sv=2020&sig=a%2Bb%3D&k=secret-files" }]);
  },
  "range of the query": async () => {
    upstream.files.set("ranged", FILE);
    const answer = await getFile(relay, "ranged", "?range=5-&sig=x");
    expect([answer.status, answer.body.toString()]).toEqual([206, FILE.slice(5)]);
    expect(upstream.asked("ranged")).toMatchObject([{ query: "sig=x" }]);
  },
  "headers upstream": async () => {
    upstream.files.set("known", FILE);
    await getFile(relay, "known", "", withSize(15));
    const headers = upstream.asked("known")[0]?.headers;
    expect(headers?.get("user-agent")).toBe(`statsig-forward-proxy/${version}`);
    expect(headers?.get("x-sfp-version")).toBe(version);
    expect(headers?.get("statsig-id-list-file-size")).toBe("15");
    expect(headers?.get("statsig-api-key")).toBeNull();
  },
  "fetched again for a larger size": async () => {
    upstream.files.set("growing", FILE);
    await getFile(relay, "growing", "", withSize(15));
    // Also if it was replaced by another file.
    const replaced = "+xyz\n".repeat(4);
    upstream.files.set("growing", replaced);
    const answer = await getFile(relay, "growing", "", { ...withSize(20), range: "bytes=15-" });
    expect([answer.status, answer.body.toString()]).toEqual([206, "+xyz\n"]);
    expect((await getFile(relay, "growing")).body.toString()).toBe(replaced);
  },
  "not fetched again at once": async () => {
    for (const _ of [1, 2, 3]) await getFile(relay, "never");
    expect(upstream.asked("never")).toHaveLength(1);
  },
  "served while upstream fails": async () => {
    upstream.files.set("kept", FILE);
    await getFile(relay, "kept");
    upstream.files.set("kept", 500);
    expect((await getFile(relay, "kept", "", withSize(100))).body.toString()).toBe(FILE);
  },
  "STATSIG_ENDPOINT for files": async () => {
    upstream.files.set("by-default", FILE);
    await using plain = await start("plain");
    expect((await getFile(plain, "by-default")).body.toString()).toBe(FILE);
  },
  "manifest URLs": async () => {
    const url = "https://api.statsigcdn.com/v1/download_id_list_file/x?sig=1";
    expect(JSON.parse(await getManifest(relay, "secret-urls", url))).toMatchObject({ list: { url } });
  },
  "default host": expectDefaultHost,
  "default host up to 4.2": expectDefaultHost,
  observer: async () => {
    await using observer = await start("observer", [OBSERVER]);
    for (const [id, url] of [
      ["seen", "https://api.statsigcdn.com/v1/download_id_list_file/seen?sig=1"],
      ["blob", "https://storage.example/idlists/blob?sig=2"],
    ] as const) {
      upstream.files.set(id, FILE);
      expect(await getManifest(observer, `secret-observed-${id}`, url)).toContain(url);
      await eventually(() => expect(upstream.asked(id)).toHaveLength(1), { withinMs: 15_000 });
      upstream.files.delete(id);
      const answer = await eventually(async () => {
        const got = await getFile(observer, id, "", withSize(15));
        expect(got.status).toBe(200);
        return got;
      });
      expect(answer.body.toString()).toBe(FILE);
      expect(upstream.asked(id)).toHaveLength(1);
    }
  },
  "observer, other URLs": async () => {
    await using observer = await start("other-urls", [OBSERVER]);
    await getManifest(observer, "secret-other-url", `${upstream.url}/elsewhere/other-url`);
    upstream.files.set("sibling", FILE);
    await getManifest(observer, "secret-sibling", `${upstream.url}/idlists/sibling`);
    await eventually(() => expect(upstream.asked("sibling")).toHaveLength(1), { withinMs: 15_000 });
    expect(upstream.asked("other-url")).toHaveLength(0);
  },
  "no observer": async () => {
    await getManifest(relay, "secret-unobserved", `${upstream.url}/v1/download_id_list_file/unobserved`);
    upstream.files.set("asked-later", FILE);
    await getFile(relay, "asked-later");
    expect(upstream.asked("unobserved")).toHaveLength(0);
  },
  "observer with --proxy-id-lists": () => expectProxied("both", [OBSERVER], "secret-both"),
  "no key with --proxy-id-lists": () => expectProxied("proxied", [], "secret-proxied"),
  "host of proxied files": async () => {
    upstream.files.set("moved", FILE);
    const env = { STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE: `${upstream.url}/` };
    await using proxying = await start("moved", ["--proxy-id-lists"], env);
    await expectServed(proxying, "secret-moved", "https://storage.invalid/idlists/moved?sig=1");
    expect(upstream.asked("moved")).toMatchObject([{ query: "sig=1" }]);
  },
  "deltas without supports_proto": () =>
    expectDeltaError("/secret-d.json?sinceTime=5", "supports_proto=true is required"),
  "deltas without sinceTime": () =>
    expectDeltaError("/secret-d.json?supports_proto=true&sinceTime=x", "Missing sinceTime parameter"),
  "deltas with sinceTime 0": () =>
    expectDeltaError("/secret-d.json?supports_proto=true&sinceTime=0", "sinceTime must be greater than 0"),
  "deltas without a key": () =>
    expectDeltaError(
      "?supports_proto=true&sinceTime=5",
      "The SDK key is missing: send it in the path or in the header statsig-api-key",
    ),
  deltas: async () => {
    const path = "/v2/download_config_specs_deltas/secret-d.json?supports_proto=true&sinceTime=5";
    const ask = async (codings: string) => {
      return (await rawGet(`${relay.httpUrl}${path}`, { "accept-encoding": codings })).status;
    };
    expect([await ask("gzip"), await ask("statsig-br")]).toEqual([406, 503]);
  },
};

function expectDefaultHost(): void {
  const given = { mode: "http", cache: "disabled", values: new Map() };
  const { upstreamUrl, idLists } = readConfig(given, {});
  expect([upstreamUrl, idLists.givenFilesUrl]).toEqual(["https://api.statsigcdn.com", undefined]);
}

/** The manifest names the relay, which serves the file without an SDK key. */
async function expectProxied(name: string, args: readonly string[], sdkKey: string): Promise<void> {
  upstream.files.set(name, FILE);
  await using proxying = await start(name, ["--proxy-id-lists", ...args]);
  await expectServed(proxying, sdkKey, `${upstream.url}/v1/download_id_list_file/${name}`);
}

async function expectServed(proxying: RelayProcess, sdkKey: string, url: string): Promise<void> {
  await eventually(async () => {
    const manifest = JSON.parse(await getManifest(proxying, sdkKey, url));
    expect(manifest.list.url).toStartWith(proxying.httpUrl);
    expect((await rawGet(manifest.list.url, { range: "bytes=0-4" })).body.toString()).toBe(FILE.slice(0, 5));
  });
}

testRows(FILE_CHECK_ROWS, async ({ check }) => {
  await CHECKS[check]();
});
