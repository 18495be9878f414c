import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Statsig, StatsigUser } from "@statsig/statsig-node-core";
import { projectAt } from "../../src/demo/project.ts";
import { exitOf } from "../support/common/exit-of.ts";
import { freePort } from "../support/common/free-port.ts";
import { Output } from "../support/common/output.ts";
import { eventually, within } from "../support/common/wait.ts";
import { spawnRelay } from "../support/relay/run-relay.ts";

const SDK_KEY = "secret-demo";
const FREE_PORTS = { SFP_HTTP_PORT: "0", SFP_GRPC_PORT: "0", SFP_BIND_ADDRESS: "127.0.0.1" };
/** A process starts within this time even on a machine that does much else. */
const START_MS = 30_000;

/** A running demo. Its temporary folder and its home are folders of the test. */
class Demo implements AsyncDisposable {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "sfp-demo-")));
  readonly #child: ChildProcess;
  readonly #output: Output;

  constructor(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
    for (const name of ["tmp", "home", "real"]) mkdirSync(join(this.folder, name));
    const own = { TMPDIR: join(this.folder, "tmp"), HOME: join(this.folder, "home") };
    const filled = Object.entries(env).map(([name, value]) => [name, this.fill(value)]);
    const all = { ...FREE_PORTS, ...own, ...Object.fromEntries(filled) };
    this.#child = spawnRelay(["demo", ...args.map((word) => this.fill(word))], all);
    this.#output = new Output(this.#child.stdout, this.#child.stderr);
  }

  fill(text: string): string {
    return text.replace("FOLDER", this.folder);
  }

  output(): string {
    return this.#output.text;
  }

  /** Waits until the welcome is printed, and returns the URL of the HTTP port. */
  async httpUrl(): Promise<string> {
    const found = this.#output.until((text) => /^ {2}http +(http:\S+)\n[\s\S]*Ctrl-C/m.exec(text)?.[1]);
    const ended = this.exited().then((code) => {
      throw new Error(`the demo ended with exit code ${code}:\n${this.output()}`);
    });
    return await within(Promise.race([found, ended]), START_MS, "welcome of the demo");
  }

  files(name: "tmp" | "home" | "real"): readonly string[] {
    return readdirSync(join(this.folder, name));
  }

  exited(): Promise<number> {
    return exitOf(this.#child);
  }

  async stop(...signals: readonly NodeJS.Signals[]): Promise<number> {
    for (const signal of signals) this.#child.kill(signal);
    return await within(this.exited(), START_MS, "end of the demo");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const fetchSpecs = async (url: string): Promise<{ time: number; feature_gates: { name: string }[] }> => {
  const response = await fetch(`${url}/v1/download_config_specs/${SDK_KEY}.json`);
  expect(response.status).toBe(200);
  return JSON.parse(await response.text());
};

const changesIn = (text: string) =>
  text.match(/^\d\d:\d\d:\d\d {2}gate demo_flip: (on → off|off → on)$/gm) ?? [];

test("a gate flips for SDKs of any usual polling interval", () => {
  const isOn = (revision: number) =>
    projectAt(revision, 1).gates.find(({ name }) => name === "demo_flip")?.rules[0]?.passPercentage === 100;
  // In revisions, which are 5 s apart: 5, 10, 15, 20, 30, 60 and 120 s.
  for (const step of [1, 2, 3, 4, 6, 12, 24]) {
    const seen = [0, 1, 2, 3, 4].map((poll) => isOn(1 + poll * step));
    expect([step, new Set(seen).size]).toEqual([step, 2]);
  }
  for (let revision = 1; revision < 20; revision++) {
    expect(new Set([revision, revision + 1, revision + 2].map(isOn)).size).toBe(2);
  }
});

describe("demo", () => {
  let demo: Demo;
  let url = "";
  beforeAll(async () => {
    demo = new Demo();
    url = await demo.httpUrl();
  }, 60_000);
  afterAll(() => demo[Symbol.asyncDispose]());

  test("prints the addresses, commands to try, and nothing else before them", () => {
    const text = demo.output();
    expect(text).toStartWith(
      `The relay serves a sample project for the SDK key ${SDK_KEY}.\n  http   ${url}\n`,
    );
    expect(text).toContain(`\n  curl --compressed ${url}/v2/download_config_specs/${SDK_KEY}.json\n`);
    expect(text).toContain("\nThe project changes every 5 s, as follows. Ctrl-C ends the demo.\n");
  });

  test("within 10 s, a line shows the old and the new value, and clients get the new version", async () => {
    const before = await fetchSpecs(url);
    const sdk = new Statsig(SDK_KEY, {
      specsUrl: `${url}/v2/download_config_specs`,
      specsSyncIntervalMs: 1_000,
      logEventUrl: `${url}/v1/log_event`,
      disableCountryLookup: true,
      outputLogLevel: "none",
    });
    await sdk.initialize();
    const isOn = () => sdk.checkGate(new StatsigUser({ userID: "alice" }), "demo_flip");
    const first = isOn();
    const banner =
      /^\d\d:\d\d:\d\d {2}config demo_banner: revision \d+ → \d+, text "This is revision \d+" → /gm;
    const printed = demo.output().match(banner)?.length ?? 0;
    await eventually(() => expect(demo.output().match(banner)?.length).toBeGreaterThan(printed), {
      withinMs: 10_000,
    });
    // The gate flips with at least one of any two changes.
    await eventually(() => expect(changesIn(demo.output())).not.toEqual([]), { withinMs: 20_000 });
    await eventually(async () => expect((await fetchSpecs(url)).time).toBeGreaterThan(before.time), {
      withinMs: 10_000,
    });
    await eventually(() => expect(isOn()).toBe(!first), { withinMs: 20_000 });
    await sdk.shutdown(1_000);
  }, 60_000);

  test("keeps its backup in a temporary folder, which it removes at the end", async () => {
    expect(demo.files("tmp")).toEqual([expect.stringMatching(/^statsig-forward-proxy-demo-/)]);
    expect(await demo.stop("SIGINT")).toBe(0);
    expect(demo.files("tmp")).toEqual([]);
    expect(demo.files("home")).not.toContain(".local");
  });
});

test("the status page comes first", async () => {
  const port = await freePort();
  await using demo = new Demo([], { SFP_MANAGEMENT_PORT: String(port) });
  await demo.httpUrl();
  expect(demo.output()).toStartWith(`Status page: http://127.0.0.1:${port}\n\n`);
  expect((await fetch(`http://127.0.0.1:${port}/status.json`)).status).toBe(200);
}, 60_000);

test("the operator API can be tried with its token", async () => {
  const port = String(await freePort());
  await using demo = new Demo([], { SFP_MANAGEMENT_PORT: port, SFP_MANAGEMENT_TOKEN: "a-token-of-the-demo" });
  await demo.httpUrl();
  const statusWith = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`http://127.0.0.1:${port}/v1/versions?key=${SDK_KEY}`, { headers })).status;
  };
  // The addresses are printed before the relay has the first version.
  await eventually(async () => expect(await statusWith("a-token-of-the-demo")).toBe(200));
  expect(await statusWith("another-one-that-is-wrong")).toBe(401);
}, 60_000);

test("a second Ctrl-C still removes the temporary folder", async () => {
  await using demo = new Demo();
  const url = await demo.httpUrl();
  // A request in flight keeps the relay from ending at the first one.
  const stream = await fetch(`${url}/v2/stream_config_specs/${SDK_KEY}`);
  await demo.stop("SIGINT", "SIGINT");
  await stream.body?.cancel().catch(() => {});
  expect(demo.files("tmp")).toEqual([]);
}, 60_000);

test("options of the user override those of the demo", async () => {
  const args = ["-p", "7", "--log-level", "info", "--local-cache-path", "FOLDER/real"];
  await using demo = new Demo(args);
  await demo.httpUrl();
  expect(demo.output()).toContain("polling_interval_s=7");
  expect(demo.output()).toContain(`local_cache_path=${demo.folder}/real`);
  expect(await demo.stop("SIGTERM")).toBe(0);
  expect(demo.files("real")).toContain("specs.sqlite");
}, 60_000);

test("what is set for a real relay is neither used nor touched", async () => {
  const env = {
    SFP_MODE: "http",
    SFP_CACHE: "redis",
    SFP_CONFIG: "/no/such/file.yaml",
    SFP_LOCAL_CACHE_PATH: "FOLDER/real",
    SFP_EVENT_SPOOL_PATH: "FOLDER/real",
    SFP_ALLOWED_SDK_KEYS: "secret-of-mine",
    SFP_POLLING_INTERVAL_IN_S: "3600",
    SFP_X509_SERVER_CERT_PATH: "/no/such/file.pem",
    STATSIG_ENDPOINT: "http://127.0.0.1:9",
    statsig_endpoint_download_id_list_file: "http://127.0.0.1:9",
    ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: "true",
    HTTP_PROXY: "http://127.0.0.1:9",
    http_proxy: "http://127.0.0.1:9",
    ALL_PROXY: "http://127.0.0.1:9",
  };
  await using demo = new Demo([], env);
  await fetchSpecs(await demo.httpUrl());
  expect(demo.output()).not.toContain("WARN");
  expect(demo.files("real")).toEqual([]);
}, 60_000);

test("without a writable folder or a home, as in a read-only container, it serves from memory", async () => {
  await using demo = new Demo([], { TMPDIR: "FOLDER/file", HOME: "" });
  writeFileSync(join(demo.folder, "file"), "");
  await fetchSpecs(await demo.httpUrl());
  expect(demo.output()).not.toContain("WARN");
  expect(await demo.stop("SIGTERM")).toBe(0);
}, 60_000);

test("a port that is in use ends it with one line and without a folder", async () => {
  using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  await using demo = new Demo(["--http-port", String(taken.port)]);
  expect(await within(demo.exited(), START_MS, "end of the demo")).toBe(1);
  expect(demo.output()).toContain(`error: cannot listen on --http-port ${taken.port} `);
  expect(demo.files("tmp")).toEqual([]);
}, 60_000);
