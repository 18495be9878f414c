import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { composePath, composeProblems, readCompose } from "../support/deploy/compose.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const compose = readCompose();
const names = Object.keys(compose.services);
const serviceOf = (name: string) => compose.services[name] ?? expect.unreachable(`no service ${name}`);
const folder = mkdtempSync(join(tmpdir(), "sfp-compose-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("compose.yaml", () => {
  test("conforms to the Compose specification", () => {
    expect(composeProblems(compose)).toEqual([]);
    expect(composeProblems({ services: { relay: { imag: "x" } } })).not.toEqual([]);
  });

  test("refers only to services, volumes, secrets and files that exist", () => {
    for (const name of names) {
      const { depends_on = [], secrets = [], volumes = [] } = serviceOf(name);
      for (const other of depends_on) expect(names).toContain(other);
      for (const secret of secrets) expect(Object.keys(compose.secrets)).toContain(secret);
      for (const volume of volumes) {
        const [source = ""] = volume.split(":");
        if (!source.startsWith("./")) expect(Object.keys(compose.volumes)).toContain(source);
        else expect([source, existsSync(join(dirname(composePath), source))]).toEqual([source, true]);
      }
    }
  });

  test("gives every service a health check, a read-only root and no new privileges", () => {
    for (const name of names) {
      const { healthcheck, read_only, security_opt } = serviceOf(name);
      expect([name, healthcheck?.test[0], read_only, security_opt]).toEqual([
        name,
        "CMD",
        true,
        ["no-new-privileges:true"],
      ]);
    }
  });

  test("publishes the status page of each relay, and Prometheus, to this machine only", () => {
    const published = names.flatMap((name) => serviceOf(name).ports ?? []);
    const forOperators = published.filter((port) => /:(8001|9090)$/.test(port));
    expect(forOperators).toEqual(["127.0.0.1:8001:8001", "127.0.0.1:8011:8001", "127.0.0.1:9090:9090"]);
    const text = readFileSync(composePath, "utf8");
    for (const port of forOperators) expect(text).toContain(`http://localhost:${port.split(":")[1]}`);
    const onThisMachine = published.map((port) => port.split(":").at(-2));
    expect(new Set(onThisMachine).size).toBe(published.length);
  });

  test("makes Prometheus scrape both relays at their management port", async () => {
    const config = join(dirname(composePath), "prometheus", "prometheus.yaml");
    const { scrape_configs } = parse(await Bun.file(config).text());
    const relays = names.filter((name) => name.startsWith("relay-"));
    expect(scrape_configs[0].static_configs[0].targets).toEqual(relays.map((name) => `${name}:8001`));
    for (const name of relays) expect(serviceOf(name).environment).not.toHaveProperty("SFP_MANAGEMENT_PORT");
  });
});

describeWith("redis-server")("the relays of compose.yaml, run without Compose", () => {
  test("serve from both relays while one polls, and pass their health checks", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    const key = publishKey(upstream, "secret-of-compose");
    writeFileSync(join(folder, "sdk-keys"), `${key.sdkKey}\n`);
    const services = readCompose({ STATSIG_ENDPOINT: upstream.url }).services;
    await using stack = new AsyncDisposableStack();
    const start = async (name: string) => {
      const { command = [], environment = {}, healthcheck } = services[name] ?? expect.unreachable(name);
      const env: Record<string, string> = {
        ...Object.fromEntries(
          Object.entries(environment).map(([variable, value]) => [
            variable,
            value.replace("/run/secrets", folder),
          ]),
        ),
        REDIS_ENTERPRISE_HOST: "127.0.0.1",
        REDIS_ENTERPRISE_PORT: String(redis.port),
        // Free ports, and a short interval for the test.
        ...{ SFP_HTTP_PORT: "0", SFP_GRPC_PORT: "0", SFP_MANAGEMENT_PORT: String(await freePort()) },
        ...{ SFP_BIND_ADDRESS: "127.0.0.1", SFP_POLLING_INTERVAL_IN_S: "1", SFP_LOG_FORMAT: "text" },
      };
      const relay = stack.use(await startRelayProcess({ isBare: true, args: command, env }));
      return { relay, env, check: (healthcheck?.test ?? []).slice(2) };
    };
    const relays = [await start("relay-1"), await start("relay-2")];
    for (const { relay, env, check } of relays) {
      const url = `${relay.httpUrl}/v2/download_config_specs/${key.sdkKey}.json`;
      await eventually(async () => expect((await rawGet(url)).status).toBe(200));
      using client = new GrpcClient(relay.grpcUrl);
      using stream = client.streamConfigSpec({ sdkKey: key.sdkKey, version: 2 });
      expect((await stream.next()).spec).toBe(key.v2);
      expect((await rawGet(url.replace("compose", "others"))).status).toBe(401);
      expect(await runRelay(check, env)).toMatchObject({ exitCode: 0 });
    }
    const newer = publishKey(upstream, key.sdkKey, 1);
    for (const { relay } of relays) {
      const url = `${relay.httpUrl}/v2/download_config_specs/${key.sdkKey}.json`;
      await eventually(async () => expect((await rawGet(url)).body.toString()).toBe(newer.v2));
    }
    const [before, startedAt] = [upstream.requests.length, performance.now()];
    await sleep(4_000);
    // One request per interval for each of the key's two feeds.
    const intervals = (performance.now() - startedAt) / 1_000;
    expect(upstream.requests.length - before).toBeLessThan(2 * intervals + 4);
  }, 60_000);
});
