import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { cpu, FakeCloudProfilerApi } from "../support/profiling/cloud-profiler-api.ts";
import { cloudEnvironment, FORCED, startCloudRelay } from "../support/profiling/cloud-relay.ts";
import { FakeGoogleTokens, TOKEN_HOSTS } from "../support/profiling/google-tokens.ts";
import { FakeMetadataServer } from "../support/profiling/metadata-server.ts";
import { AS_ANYBODY } from "../support/relay/as-anybody.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { Authority, pemOf } from "../support/relay/pki.ts";
import { OutboundProxy } from "../support/upstream/outbound-proxy.ts";

const PATIENT = { withinMs: 20_000 };
const API_HOST = "cloudprofiler.googleapis.com";

/** Google's hosts, reached through a proxy and with a certificate of a private authority, as in many companies. */
interface Google {
  readonly api: FakeCloudProfilerApi;
  readonly tokens: FakeGoogleTokens;
  readonly proxy: OutboundProxy;
  readonly env: Readonly<Record<string, string>>;
}

const owned = new AsyncDisposableStack();
let authority: Authority;
let folder: string;

beforeAll(() => {
  authority = owned.use(new Authority());
  folder = mkdtempSync(join(tmpdir(), "sfp-google-"));
  owned.defer(() => rmSync(folder, { recursive: true }));
});
afterAll(() => owned.disposeAsync());

function writeFile(name: string, content: string | object): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

async function startGoogle(running: AsyncDisposableStack): Promise<Google> {
  const altNames = [API_HOST, ...TOKEN_HOSTS].map((host) => `DNS:${host}`).join(",");
  const tls = pemOf(authority.issue({ commonName: "google", altNames }));
  const api = running.use(await FakeCloudProfilerApi.start(tls));
  const tokens = running.use(await FakeGoogleTokens.start(tls));
  const places = TOKEN_HOSTS.map((host) => [host, tokens.port] as const);
  const ports = { [API_HOST]: api.port, ...Object.fromEntries(places) };
  const proxy = running.use(await OutboundProxy.start({ ports }));
  const env = {
    ...{ HOME: "/nonexistent", NODE_EXTRA_CA_CERTS: authority.caPath },
    ...{ HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url, GCE_METADATA_HOST: "127.0.0.1:1" },
  };
  return { api, tokens, proxy, env };
}

describe("through a proxy, with a private authority", () => {
  test("the key of a service account signs for a token, and names the project", async () => {
    await using running = new AsyncDisposableStack();
    const { api, tokens, proxy, env: shared } = await startGoogle(running);
    const path = writeFile("account.json", tokens.serviceAccount);
    const env = { ...shared, GOOGLE_APPLICATION_CREDENTIALS: path };
    const { relay } = running.use(await startManagedRelay({ mode: "http", args: [FORCED], env }));
    await eventually(() => expect(api.held).toBe(1), PATIENT);
    api.answer(cpu());
    await eventually(() => expect(api.uploads).toHaveLength(1), PATIENT);
    expect([...tokens.violations, ...api.violations]).toEqual([]);
    expect(api.creates[0]).toMatchObject({ project: "file-project", token: tokens.tokens[0] });
    expect(Object.keys(api.creates[0]?.deployment.labels ?? {}).sort()).toEqual(["language", "version"]);
    expect(tokens.tokens).toHaveLength(1);
    expect(new Set(proxy.seen)).toEqual(
      new Set(["CONNECT oauth2.googleapis.com:443", "CONNECT cloudprofiler.googleapis.com:443"]),
    );
    await eventually(() => expect(relay.output()).toMatch(/credentials=file account=key@file-project\.iam/));
    expect(relay.output()).not.toMatch(/WARN|ERROR|ya29|PRIVATE/);
  }, 40_000);

  test("the token of another identity provider is exchanged, with the project of the option", async () => {
    await using running = new AsyncDisposableStack();
    const { api, tokens, env: shared } = await startGoogle(running);
    const subject = writeFile("subject-token", "subject-token");
    const path = writeFile("federation.json", tokens.federation(subject));
    const env = { ...shared, GOOGLE_APPLICATION_CREDENTIALS: path };
    const args = [FORCED, "--gcp-profiler-project", "given-project"];
    const { relay } = running.use(await startManagedRelay({ mode: "http", args, env }));
    await eventually(() => expect(api.held).toBe(1), PATIENT);
    expect(tokens.violations).toEqual([]);
    expect(api.creates[0]).toMatchObject({ project: "given-project", token: tokens.tokens[0] });
    await eventually(() =>
      expect(relay.output()).toContain("account=federated@file-project.iam.gserviceaccount.com"),
    );
  }, 40_000);

  test("a key that Google does not know is a line with the code of the answer", async () => {
    await using running = new AsyncDisposableStack();
    const { tokens, env: shared } = await startGoogle(running);
    tokens.refusal = { status: 400, error: "invalid_grant" };
    const path = writeFile("revoked.json", tokens.serviceAccount);
    const env = { ...shared, GOOGLE_APPLICATION_CREDENTIALS: path };
    const managed = running.use(await startManagedRelay({ mode: "http", args: [FORCED], env }));
    const failing = "no access token: the server of tokens answered 400: invalid_grant";
    await eventually(() => expect(managed.relay.output()).toContain(failing), PATIENT);
    expect(managed.relay.output()).not.toContain("may repeat");
  }, 40_000);

  test("the metadata server is asked directly", async () => {
    await using running = new AsyncDisposableStack();
    const { api, proxy, env: shared } = await startGoogle(running);
    const metadata = running.use(await FakeMetadataServer.start());
    const env = { ...shared, GCE_METADATA_HOST: metadata.host };
    running.use(await startManagedRelay({ mode: "http", args: [FORCED], env }));
    await eventually(() => expect(api.held).toBe(1), PATIENT);
    expect(new Set(proxy.seen)).toEqual(new Set(["CONNECT cloudprofiler.googleapis.com:443"]));
    expect(api.creates[0]?.token).toBe(metadata.token);
  }, 40_000);
});

describe("credentials that cannot be used are one line with what to do, and the relay serves", () => {
  test.each([
    [
      "none, outside Google",
      undefined,
      /no credentials: no file is given, and there is no metadata server \(connection refused\); set GOOGLE_APPLICATION_CREDENTIALS/,
    ],
    [
      "a file that does not exist",
      "/nonexistent/key.json",
      /GOOGLE_APPLICATION_CREDENTIALS cannot be read \(ENOENT\); set/,
    ],
    ["a folder", "/tmp", /GOOGLE_APPLICATION_CREDENTIALS .*; set/],
    ["a file that is not JSON", "not json", /credentials.*; set/i],
    ["JSON without credentials", '{"installed":{"client_id":"x"}}', /credentials.*; set/i],
    [
      "a service account without a key",
      '{"type":"service_account","client_email":"a@b"}',
      /credentials.*; set/i,
    ],
  ])("%s", async (name, content, line) => {
    await using api = await FakeCloudProfilerApi.start();
    const isPath = content === undefined || content.startsWith("/");
    const path = isPath ? content : writeFile(`${name.replaceAll(" ", "-")}.json`, content);
    const env = {
      ...cloudEnvironment(api, undefined),
      ...(path !== undefined && { GOOGLE_APPLICATION_CREDENTIALS: path }),
    };
    await using managed = await startManagedRelay({ mode: "http", args: [FORCED], env });
    await eventually(() => expect(managed.relay.output()).toMatch(line), PATIENT);
    expect(managed.relay.output()).not.toMatch(/unexpected|undefined/);
    expect(managed.relay.output().split("export failing")).toHaveLength(2);
    expect((await managed.get("/readyz")).status).toBe(200);
    expect(api.creates).toEqual([]);
    expect(await managed.relay.stop()).toBe(0);
  });

  test("a server of tokens that cannot be reached", async () => {
    await using running = new AsyncDisposableStack();
    const { tokens, env: shared } = await startGoogle(running);
    const path = writeFile("unreachable.json", tokens.serviceAccount);
    const proxy = `http://127.0.0.1:${await freePort()}`;
    const env = { ...shared, HTTPS_PROXY: proxy, https_proxy: proxy, GOOGLE_APPLICATION_CREDENTIALS: path };
    const managed = running.use(await startManagedRelay({ mode: "http", args: [FORCED], env }));
    const line = /no access token: [^;]+; allow connections to the server of tokens .*HTTPS_PROXY/;
    await eventually(() => expect(managed.relay.output()).toMatch(line), PATIENT);
  }, 40_000);

  test("a file that the user of the relay may not read", async () => {
    await using api = await FakeCloudProfilerApi.start();
    const path = writeFile("unreadable.json", "{}");
    chmodSync(path, 0o000);
    const env = { ...cloudEnvironment(api, undefined), GOOGLE_APPLICATION_CREDENTIALS: path };
    await using managed = await startManagedRelay({
      ...{ mode: "http", args: [FORCED], env, through: AS_ANYBODY },
    });
    const line = "GOOGLE_APPLICATION_CREDENTIALS cannot be read (EACCES); let the user of the relay read";
    await eventually(() => expect(managed.relay.output()).toContain(line), PATIENT);
  });

  test("a metadata server that does not answer, after seconds", async () => {
    await using cloud = await startCloudRelay({ isForced: false });
    cloud.metadata.isSilent = true;
    const env = cloudEnvironment(cloud.api, cloud.metadata);
    await using managed = await startManagedRelay({ mode: "http", args: [FORCED], env });
    const line = /no credentials: .*no metadata server \(no answer within 3 s\)/;
    await eventually(() => expect(managed.relay.output()).toMatch(line), PATIENT);
  });

  test("neither the credentials nor the machine name a project", async () => {
    await using cloud = await startCloudRelay({}, { project: undefined });
    const line = "neither the credentials nor the machine name a project; set --gcp-profiler-project";
    await eventually(() => expect(cloud.relay.output()).toContain(line), PATIENT);
  });
});
