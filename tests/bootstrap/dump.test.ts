import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SpecFolder } from "../support/bootstrap/spec-folder.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { specsOf } from "../support/relay/access.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { type FinishedRun, runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const TOKEN = "a-token-of-24-characters";
const ENV = { SFP_MANAGEMENT_TOKEN: TOKEN };
const KEY = "secret-dumped-key-0123456789";
const OTHER = "secret-dumped-key-9876543210";
const LCUT = 1_700_000_000_000;

const dump = (url: string, out: string, env: Readonly<Record<string, string>> = ENV): Promise<FinishedRun> =>
  runRelay(["dump", "--from", url, "--out", out], env);

/** Returns the body of each form of a key, as clients get them. */
async function bodiesOf(relayUrl: string, sdkKey: string): Promise<readonly Buffer[]> {
  const get = async (path: string) => {
    const headers = { "accept-encoding": "statsig-br" };
    const response = await fetch(`${relayUrl}/${path}`, { headers });
    return Buffer.from(await response.arrayBuffer());
  };
  const specs = `download_config_specs/${sdkKey}.json`;
  return [await get(`v1/${specs}`), await get(`v2/${specs}`), await get(`v2/${specs}?supports_proto=true`)];
}

describe("dump", () => {
  test("writes what a relay holds, and offline serves the same bytes", async () => {
    await using upstream = await startUpstream();
    for (const sdkKey of [KEY, OTHER]) {
      // These name no SDK key: the names of the files keep them apart.
      upstream.publish(sdkKey, "v1", specV1({ lcut: LCUT, color: sdkKey }));
      upstream.publish(sdkKey, "v2", specV2({ lcut: LCUT + 1, color: sdkKey }));
      upstream.publishProto(sdkKey, specProto({ lcut: LCUT + 2, sdkKey }), LCUT + 2);
    }
    await using managed = await startManagedRelay({ upstream, env: ENV });
    const { relay } = managed;
    const before = [await bodiesOf(relay.httpUrl, KEY), await bodiesOf(relay.httpUrl, OTHER)];
    using folder = new SpecFolder();
    const { exitCode, stdout, stderr } = await dump(managed.url, folder.path);
    expect([exitCode, stderr]).toEqual([0, ""]);
    const names = readdirSync(folder.path).sort();
    expect(names).toHaveLength(6);
    for (const name of names) {
      expect(name).toMatch(/^secret-dum\.key-[0-9a-f]{16}\.(v1\.json|v2\.json|v2\.statsig-br)$/);
      expect(statSync(join(folder.path, name)).mode & 0o777).toBe(0o600);
      expect(stdout).toContain(`${join(folder.path, name)}: secret-dum*`);
    }
    expect(stdout).toContain(`6 files with `);
    for (const secret of [KEY, OTHER, TOKEN]) expect(stdout + relay.output()).not.toContain(secret);
    const audits = /operator action action=dump sdk_key=all client=\S+ files=6 /g;
    await eventually(() => expect(relay.output().match(audits)).toHaveLength(1));
    await using offline = await startRelayProcess({ args: ["--offline", "--bootstrap-path", folder.path] });
    const after = [await bodiesOf(offline.httpUrl, KEY), await bodiesOf(offline.httpUrl, OTHER)];
    expect(after).toEqual(before);
    expect((await specsOf(offline, "secret-dumped-key-of-nobody")).status).toBe(503);
    expect(offline.output()).not.toContain("names no SDK key");
  });

  test("a second dump replaces the files of the first", async () => {
    await using upstream = await startUpstream();
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
    await using managed = await startManagedRelay({ upstream, env: ENV });
    expect((await specsOf(managed.relay, KEY)).status).toBe(200);
    using folder = new SpecFolder();
    expect((await dump(managed.url, folder.path)).exitCode).toBe(0);
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT + 1, sdkKey: KEY }));
    await eventually(async () =>
      expect((await specsOf(managed.relay, KEY)).headers.get("x-since-time")).toBe(String(LCUT + 1)),
    );
    expect((await dump(managed.url, folder.path)).exitCode).toBe(0);
    const [name = "", ...others] = readdirSync(folder.path);
    expect(others).toEqual([]);
    expect(JSON.parse(readFileSync(join(folder.path, name), "utf8"))).toMatchObject({ time: LCUT + 1 });
  });

  test("finds the relay of this machine by the same options", async () => {
    await using upstream = await startUpstream();
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
    const port = await freePort();
    await using managed = await startManagedRelay({ upstream, env: ENV }, port);
    await specsOf(managed.relay, KEY);
    using folder = new SpecFolder();
    const out = join(folder.path, "new", "folder");
    // A proxy of the environment is not used: the relay is local.
    const env = { ...ENV, SFP_MANAGEMENT_PORT: String(port), HTTP_PROXY: "http://127.0.0.1:1" };
    const { exitCode, stdout } = await runRelay(["dump", "--out", out, "http", "disabled"], env);
    expect(stdout).toContain("1 files with");
    expect(exitCode).toBe(0);
    expect(readdirSync(out)).toHaveLength(1);
  });
});

describe("a dump that fails says why", () => {
  test("without a relay, a token or an address", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const out = mkdtempSync(join(tmpdir(), "sfp-dump-"));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rmSync(out, { recursive: true }));
    const nobody = await dump(url, out);
    expect([nobody.exitCode, nobody.stderr]).toEqual([
      1,
      `error: no relay listens at ${url}: start it, or name its management port with --from\n`,
    ]);
    const untold = await dump(url, out, {});
    expect([untold.exitCode, untold.stderr]).toEqual([
      2,
      "error: dump requires SFP_MANAGEMENT_TOKEN, the token that the relay was started with\n",
    ]);
    const nowhere = await runRelay(["dump"], ENV);
    expect([nowhere.exitCode, nowhere.stderr]).toEqual([
      2,
      "error: dump needs the management port of the relay: set --management-port, or --from\n",
    ]);
    expect((await dump("localhost", out)).stderr).toContain('invalid value "localhost" for --from');
  });

  test("with a wrong token, or against a relay whose API is off", async () => {
    using folder = new SpecFolder();
    await using on = await startManagedRelay({ env: ENV });
    const wrong = await dump(on.url, folder.path, { SFP_MANAGEMENT_TOKEN: "another-token-of-an-operator" });
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain("rejects the token: SFP_MANAGEMENT_TOKEN is not the one");
    const empty = await dump(on.url, folder.path);
    expect(empty.exitCode).toBe(1);
    expect(empty.stderr).toContain("holds no config specs yet");
    await using off = await startManagedRelay();
    const refused = await dump(off.url, folder.path);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain("is turned off: start the relay with SFP_MANAGEMENT_TOKEN");
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test("against something else: an older relay, a web server, one that names files outside of the folder", async () => {
    using folder = new SpecFolder();
    const spec = (id: string) =>
      JSON.stringify({ config_specs: [{ id, key: "secret*1", api_version: "v2" }] });
    for (const [handler, problem] of [
      [(_, response) => response.writeHead(404).end("Not Found"), "cannot dump: it is an older relay"],
      [(_, response) => response.writeHead(200).end("<html>"), "is no relay"],
      [(_, response) => response.writeHead(502).end(), "responded with HTTP 502"],
      [(_, response) => response.writeHead(200).end(spec("../evil.json")), "a file name that is not safe"],
    ] satisfies [RequestListener, string][]) {
      await using server = await serve(handler);
      const { exitCode, stderr } = await dump(server.url, folder.path);
      expect(exitCode).toBe(1);
      expect(stderr).toContain(problem);
    }
  });

  test("when the relay dies in between: what was written is whole", async () => {
    using folder = new SpecFolder();
    const ids = ["a.v2.json", "b.v2.json"];
    const list = ids.map((id) => ({ id, key: "secret*1", api_version: "v2" }));
    await using server = await serve(({ url }, response) => {
      if (url === "/v1/config_specs") response.end(JSON.stringify({ config_specs: list }));
      else if (url?.endsWith("a.v2.json")) response.writeHead(200, { "content-length": "2" }).end("{}");
      else {
        response.writeHead(200, { "content-length": "9" }).write("{");
        setTimeout(() => response.destroy(), 50);
      }
    });
    const { exitCode, stderr } = await dump(server.url, folder.path);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("; 1 of 2 files were written");
    expect(readdirSync(folder.path)).toEqual(["a.v2.json"]);
  });

  test("when the folder cannot be written", async () => {
    await using upstream = await startUpstream();
    upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
    await using managed = await startManagedRelay({ upstream, env: ENV });
    await specsOf(managed.relay, KEY);
    using folder = new SpecFolder();
    const file = folder.write("file", "");
    const inFile = await dump(managed.url, join(file, "below"));
    expect([inFile.exitCode, inFile.stderr]).toEqual([
      1,
      `error: cannot create the folder ${join(file, "below")}: not a directory\n`,
    ]);
    const full = await dump(managed.url, "/dev/full");
    expect(full.exitCode).toBe(1);
    expect(full.stderr).toContain("error: cannot ");
  });
});

test("a body that is read without a list has an audit event of its own", async () => {
  await using upstream = await startUpstream();
  upstream.publish(KEY, "v2", specV2({ lcut: LCUT, sdkKey: KEY }));
  await using managed = await startManagedRelay({ upstream, env: ENV });
  await specsOf(managed.relay, KEY);
  const get = (path: string) =>
    fetch(`${managed.url}/v1/config_specs${path}`, { headers: { authorization: `Bearer ${TOKEN}` } });
  const audits = () => managed.relay.output().match(/operator action action=dump/g)?.length ?? 0;
  expect((await get("/there.is.none")).status).toBe(404);
  expect(audits()).toBe(0);
  using folder = new SpecFolder();
  expect((await dump(managed.url, folder.path)).exitCode).toBe(0);
  const [name = ""] = readdirSync(folder.path);
  await eventually(() => expect(audits()).toBe(1));
  const body = await get(`/${name}`);
  expect(body.headers.get("x-since-time")).toBe(String(LCUT));
  expect(Buffer.from(await body.arrayBuffer())).toEqual(readFileSync(join(folder.path, name)));
  await using other = await startManagedRelay({ upstream, env: ENV });
  await specsOf(other.relay, KEY);
  const alone = await fetch(`${other.url}/v1/config_specs/${name}`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  expect(alone.status).toBe(200);
  await eventually(() =>
    expect(other.relay.output()).toContain("operator action action=dump sdk_key=secret-dum*"),
  );
});

interface WebServer extends AsyncDisposable {
  readonly url: string;
}

async function serve(listener: RequestListener): Promise<WebServer> {
  const server = createServer(listener);
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
