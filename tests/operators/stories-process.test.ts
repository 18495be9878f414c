import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { status as code } from "@grpc/grpc-js";
import { stringify } from "yaml";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { StoryRelay } from "../support/operators/managed.ts";
import { Story } from "../support/operators/story.ts";
import { Authority } from "../support/relay/pki.ts";
import { tlsArgs } from "../support/relay/relay-with-tls.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-story";

type FileSettings = Readonly<Record<string, unknown>>;

/** A relay with its configuration in a file, as a service of a machine has. In the settings, `KEYS` stands for the file of keys. */
async function startService(title: string, settings: FileSettings, keys: readonly string[] = [KEY]) {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const published = publishKey(upstream, KEY);
  const story = stack.use(await Story.open(title));
  const keysPath = join(story.etc, "keys");
  await writeFile(keysPath, keys.map((each) => `${each}\n`).join(""));
  const path = join(story.etc, "relay.yaml");
  await writeFile(
    path,
    stringify({ ...(await everywhere()), ...settings }).replaceAll("KEYS", `"@${keysPath}"`),
  );
  const env = {
    STATSIG_ENDPOINT: upstream.url,
    LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
    SFP_MANAGEMENT_PORT: String(await freePort()),
  };
  const relay = stack.use(await StoryRelay.start({ isBare: true, args: ["--config", path], env }));
  await story.set({
    key: KEY,
    places: relay.places,
    env: { ...env, new_key: "secret-new" },
    service: async (action) => {
      if (action === "reload") relay.process.signal("SIGHUP");
      else if (action === "restart") await relay.restart();
      else throw new Error(`the service cannot ${action}`);
    },
  });
  const owned = stack.move();
  return { upstream, published, story, relay, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function everywhere(): Promise<FileSettings> {
  return {
    mode: "grpc-and-http",
    cache: "disabled",
    "bind-address": "127.0.0.1",
    "http-port": await freePort(),
    "grpc-port": await freePort(),
    "serving-threads": 1,
    "polling-interval-in-s": 1,
  };
}

const statusOf = async (url: string) => (await fetch(url)).status;

describeWith("curl", "jq")("docs/operations.md: what to do when", () => {
  test("An SDK key has leaked", async () => {
    await using service = await startService("An SDK key has leaked", { "allowed-sdk-keys": "KEYS" });
    const { story, relay, upstream } = service;
    publishKey(upstream, "secret-new");
    const url = `${relay.process.httpUrl}/v2/download_config_specs`;
    expect([await statusOf(`${url}/${KEY}.json`), await statusOf(`${url}/secret-new.json`)]).toEqual([
      200, 401,
    ]);
    await story.run();
    await eventually(async () => expect(await statusOf(`${url}/secret-new.json`)).toBe(200));
    await story.runUntil((shown) => expect(shown.trim()).toBe("401"));
    expect(await statusOf(`${url}/secret-new.json`)).toBe(200);
    story.finished();
  }, 60_000);

  test("Upgrade without a gap", async () => {
    await using service = await startService("Upgrade without a gap", {});
    const { story, relay } = service;
    expect(await story.run()).toContain("statsig-forward-proxy ");
    await story.run();
    expect(await story.run()).toStartWith("ready");
    expect(await statusOf(`${relay.process.httpUrl}/v2/download_config_specs/${KEY}.json`)).toBe(200);
    story.finished();
  });

  test("A relay does not become ready", async () => {
    const file = { "preload-sdk-keys": "KEYS" };
    await using service = await startService("A relay does not become ready", file, ["secret-mistyped"]);
    const { story } = service;
    const reasons = await story.run();
    expect(reasons).toContain("not ready");
    expect(reasons).toMatch(/FAILED +SDK keys/);
    expect(await story.run()).toContain('"status":"ready"');
    story.finished();
  });

  test("Streams are rejected", async () => {
    await using service = await startService("Streams are rejected", { "grpc-max-concurrent-streams": 1 });
    const { story, relay, published } = service;
    using client = new GrpcClient(relay.process.grpcUrl);
    using first = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    expect((await first.next()).lastUpdated).toBe(published.lcut);
    using second = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    expect(await second.status()).toMatchObject({ code: code.RESOURCE_EXHAUSTED });
    const refusals = /GrpcStreamRefused_count_total\{.*\} 1/;
    // The counts of a busy thread come a little later.
    await eventually(async () => {
      const metrics = await fetch(`${relay.process.urlOf("management")}/metrics`);
      expect(await metrics.text()).toMatch(refusals);
    });
    const shown = await story.run();
    expect(shown).toContain("statsig_forward_proxy_GrpcStreamsAllowed_gauge 1");
    expect(shown).toMatch(refusals);
    await eventually(async () => {
      using third = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
      expect((await third.next()).lastUpdated).toBe(published.lcut);
    });
    const next = publishKey(service.upstream, KEY, 1);
    expect((await first.next()).lastUpdated).toBe(next.lcut);
    story.finished();
  });

  test("Log events do not arrive", async () => {
    await using service = await startService("Log events do not arrive", {});
    const { story, relay, upstream } = service;
    await upstream.stop();
    const send = () =>
      fetch(`${relay.process.httpUrl}/v1/log_event`, {
        method: "POST",
        headers: { "statsig-api-key": KEY, "content-type": "application/json" },
        body: JSON.stringify({ events: [{ eventName: "bought" }], statsigMetadata: {} }),
      });
    expect((await send()).status).toBe(202);
    await eventually(() => expect(relay.process.output()).toContain("log events not forwarded, retrying"));
    const shown = await story.run();
    expect(shown).toContain("LogEventQueueEvents_gauge");
    expect(await story.run()).toContain("LOG_EVENT_STATSIG_ENDPOINT");
    await upstream.restart();
    await eventually(() => expect(upstream.count("/v1/log_event")).toBeGreaterThan(0), { withinMs: 20_000 });
    story.finished();
  });
});

describeWith(
  "curl",
  "jq",
  "openssl",
)("docs/operations.md, TLS: what to do when", () => {
  test("The certificate expires tomorrow", async () => {
    using authority = new Authority();
    const tomorrow = authority.issue({ validDays: [-10, 1] });
    const later = authority.issue({ validDays: [-1, 90] });
    await using story = await Story.open("The certificate expires tomorrow");
    const [certPath, keyPath] = [join(story.etc, "tls/cert.pem"), join(story.etc, "tls/key.pem")];
    await mkdir(join(story.etc, "tls"));
    await copyFile(tomorrow.certPath, certPath);
    await copyFile(tomorrow.keyPath, keyPath);
    await using relay = await StoryRelay.start({ args: [...tlsArgs({ certPath, keyPath })] });
    const https = new URL(relay.process.urlOf("https")).host;
    await story.set({ key: KEY, places: { ...relay.places, "localhost:8443": https } });
    await copyFile(later.certPath, join(story.work, "new-cert.pem"));
    await copyFile(later.keyPath, join(story.work, "new-key.pem"));
    const { validTo } = new X509Certificate(await readFile(later.certPath));
    await story.runUntil((shown) => {
      expect(shown).toContain(`notAfter=${validTo}`);
      expect(shown).toEndWith("[]\n");
    });
    story.finished();
  }, 60_000);
});
