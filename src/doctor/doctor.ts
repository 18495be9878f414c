import { type Config, readConfig } from "../config/config.ts";
import { withConfigFile } from "../config/file.ts";
import { displayUrl, type Environment, type GivenConfig } from "../config/settings.ts";
import { systemClock } from "../platform/clock.ts";
import { UserError } from "../platform/errors.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { WorkerPreparer } from "../specs/payload/preparer.ts";
import { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { StatsigSpecs } from "../upstream/specs.ts";
import { VERSION } from "../version.ts";
import { certificateCheck } from "./certificate.ts";
import {
  type Check,
  type CompletedCheck,
  failed,
  formatJson,
  formatText,
  hasPassed,
  ok,
  runChecks,
} from "./check.ts";
import { checkHealth } from "./healthcheck.ts";
import {
  descriptorsCheck,
  type FolderToWrite,
  foldersCheck,
  type PortToOpen,
  portsCheck,
  someRelayAnswers,
} from "./host.ts";
import {
  authoritiesCheck,
  clockCheck,
  type HostToFind,
  namesCheck,
  type ProxySetting,
  proxyCheck,
  upstreamCheck,
} from "./network.ts";
import { redisCheck } from "./redis.ts";
import { sdkKeysCheck } from "./sdk-keys.ts";

/** Looks at everything that a relay with these settings needs, and prints what it found. True where nothing failed. */
export async function examine(
  given: GivenConfig,
  env: Environment,
  { print, asJson }: { readonly print: (text: string) => void; readonly asJson: boolean },
): Promise<boolean> {
  const results: CompletedCheck[] = [];
  for await (const result of runChecks(await checksFor(given, env))) {
    results.push(result);
    if (!asJson) print(formatText(result));
  }
  if (asJson) print(formatJson(results));
  return hasPassed(results);
}

/** Without a configuration there is nothing else to look at. */
async function checksFor(given: GivenConfig, env: Environment): Promise<readonly Check[]> {
  try {
    const config = readConfig(await withConfigFile(given, env), env);
    return [configurationCheck(config), ...checksOf(config, given, env)];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const mend = "correct it; --help names every option, docs/configuration.md explains them";
    return [{ name: "configuration", run: async () => [failed(error.message, mend)] }];
  }
}

function configurationCheck({ mode, cache }: Config): Check {
  return { name: "configuration", run: async () => [ok(`${mode}, cache ${cache}`)] };
}

function checksOf(config: Config, given: GivenConfig, env: Environment): readonly Check[] {
  const { upstreamUrl, upstreamProxied, events, preloadSdkKeys, cache, redis, tls, limits } = config;
  const endpointOf = (baseUrl: string, proxied: boolean) =>
    new UpstreamEndpoint({ baseUrl, proxied, relayVersion: VERSION });
  const endpoint = endpointOf(upstreamUrl, upstreamProxied);
  const eventsEndpoint = endpointOf(events.upstreamUrl, events.upstreamProxied);
  const ports = portsToOpen(config);
  const isOurs = async () => (await someRelayAnswers(ports)) || (await checkHealth(given, env)).isReady;
  return [
    descriptorsCheck({
      ports: ports.filter(({ option }) => option !== "management-port").length,
      maxConnections: limits.maxConnections,
    }),
    namesCheck(hostsOf(config)),
    proxyCheck(upstreamProxied ? proxyOf(upstreamUrl, env) : undefined),
    authoritiesCheck(env["NODE_EXTRA_CA_CERTS"] || undefined),
    upstreamCheck([
      { shownUrl: displayUrl(upstreamUrl), variable: "STATSIG_ENDPOINT", endpoint },
      {
        shownUrl: displayUrl(events.upstreamUrl),
        variable: "LOG_EVENT_STATSIG_ENDPOINT",
        endpoint: eventsEndpoint,
      },
    ]),
    sdkKeysCheck({
      sdkKeys: preloadSdkKeys,
      source: new StatsigSpecs(endpoint, systemClock, config.maxPayloadBytes),
      openPreparer: () =>
        new WorkerPreparer(new Supervisor({ clock: systemClock, emit: () => {} }), config.maxPayloadBytes),
    }),
    redisCheck(cache === "redis" ? { ...redis, clock: systemClock } : undefined),
    clockCheck(endpoint),
    foldersCheck(foldersOf(config)),
    portsCheck({ ports, isOurs }),
    certificateCheck(tls),
  ];
}

function hostsOf({ upstreamUrl, upstreamProxied, events, cache, redis }: Config): readonly HostToFind[] {
  const hostOf = (url: string) => new URL(url).hostname.replace(/^\[|\]$/g, "");
  const hosts: HostToFind[] = [];
  if (!upstreamProxied) hosts.push({ host: hostOf(upstreamUrl), setting: "STATSIG_ENDPOINT" });
  if (!events.upstreamProxied) {
    hosts.push({ host: hostOf(events.upstreamUrl), setting: "LOG_EVENT_STATSIG_ENDPOINT" });
  }
  if (cache !== "redis") return hosts;
  const { address } = redis.connection;
  const nodes =
    address.kind === "single" ? [address] : "nodes" in address ? address.nodes : address.sentinels;
  return [...hosts, ...nodes.map(({ host }) => ({ host, setting: "the variable of Redis (docs/redis.md)" }))];
}

function proxyOf(upstreamUrl: string, env: Environment): ProxySetting | undefined {
  const scheme = upstreamUrl.startsWith("https:") ? "HTTPS" : "HTTP";
  const names = [`${scheme}_PROXY`, `${scheme.toLowerCase()}_proxy`, "ALL_PROXY", "all_proxy"];
  const variable = names.find((name) => env[name]);
  return variable === undefined ? undefined : { variable, url: env[variable] ?? "" };
}

function foldersOf({ cache, local, events, idLists }: Config): readonly FolderToWrite[] {
  const folders: FolderToWrite[] = [];
  if (cache === "local" || idLists.proxied) {
    const maxBytes = (cache === "local" ? local.maxBytes : 0) + (idLists.proxied ? idLists.maxBytes : 0);
    folders.push({ option: "local-cache-path", path: local.path, maxBytes });
  }
  if (events.spool !== undefined) {
    folders.push({ option: "event-spool-path", path: events.spool.path, maxBytes: events.spool.maxBytes });
  }
  return folders;
}

function portsToOpen({ listeners, management }: Config): readonly PortToOpen[] {
  return [
    ...listeners.map(({ option, bindAddress, port }) => ({ option, address: bindAddress, port })),
    ...(management === undefined
      ? []
      : [{ option: "management-port", address: management.bindAddress, port: management.port }]),
  ];
}
