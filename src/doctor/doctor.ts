import { redactSecrets } from "../access/redact.ts";
import { type Config, readConfig } from "../config/config.ts";
import { withConfigFile } from "../config/file.ts";
import { countAllThreads } from "../config/groups/listeners.ts";
import { displayUrl, type Environment, type GivenConfig, isProxied } from "../config/settings.ts";
import { systemClock } from "../platform/clock.ts";
import { availableCores } from "../platform/cores.ts";
import { UserError } from "../platform/errors.ts";
import { Supervisor } from "../platform/supervisor.ts";
import type { RedisAddress } from "../redis/options.ts";
import { WorkerPreparer } from "../specs/payload/preparer.ts";
import { BlobSpecs } from "../upstream/blob-specs.ts";
import { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { IdListFiles, StatsigIdLists } from "../upstream/id-lists.ts";
import { StatsigSpecs } from "../upstream/specs.ts";
import { VERSION } from "../version.ts";
import { blobStorageCheck } from "./blob-storage.ts";
import { bootstrapCheck, withoutStatsig } from "./bootstrap.ts";
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
import { cloudProfilerCheck } from "./cloud-profiler.ts";
import { debugEndpointsCheck } from "./debug-endpoints.ts";
import { checkHealth } from "./healthcheck.ts";
import {
  coresCheck,
  descriptorsCheck,
  type FolderToWrite,
  foldersCheck,
  isAnyRelay,
  type PortToOpen,
  portsCheck,
} from "./host.ts";
import { idListsCheck } from "./id-lists.ts";
import { logEventsCheck } from "./log-events.ts";
import {
  authoritiesCheck,
  clockCheck,
  type HostToFind,
  namesCheck,
  type ProxySetting,
  proxyCheck,
  upstreamCheck,
} from "./network.ts";
import { profilingGateCheck } from "./profiling-gate.ts";
import { redisCheck } from "./redis.ts";
import { sdkKeysCheck } from "./sdk-keys.ts";
import { findSinks, sinksCheck } from "./sinks.ts";

/** The variable that has the address of blob storage. */
const STORAGE_SETTING = "DCS_BLOB_STORAGE_CONNECTION_STRING";

/** Checks everything that a relay with these settings needs, and prints the results. Returns false if a check failed. */
export async function runDoctor(
  given: GivenConfig,
  env: Environment,
  { print, asJson }: { readonly print: (text: string) => void; readonly asJson: boolean },
): Promise<boolean> {
  const results: CompletedCheck[] = [];
  for await (const result of runChecks(await createChecks(given, env))) {
    results.push(result);
    if (!asJson) print(formatText(result));
  }
  if (asJson) print(formatJson(results));
  return hasPassed(results);
}

/** An invalid configuration is the only result, since all other checks depend on it. */
async function createChecks(given: GivenConfig, env: Environment): Promise<readonly Check[]> {
  try {
    const config = readConfig(await withConfigFile(given, env), env);
    const checks = [...createConfigChecks(config, given, env), bootstrapCheck(config)];
    return [configurationCheck(config), ...withoutStatsig(checks, config)];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const fix = "correct it; --help lists every option and variable with its values";
    return [{ name: "configuration", run: async () => [failed(redactSecrets(error.message), fix)] }];
  }
}

function configurationCheck({ mode, cache }: Config): Check {
  return { name: "configuration", run: async () => [ok(`${mode}, cache ${cache}`)] };
}

function createConfigChecks(config: Config, given: GivenConfig, env: Environment): readonly Check[] {
  const { upstreamUrl, upstreamProxied, events, preloadSdkKeys, cache, redis, tls, limits, idLists } = config;
  const createEndpoint = (baseUrl: string, proxied: boolean) =>
    new UpstreamEndpoint({ baseUrl, proxied, relayVersion: VERSION });
  const endpoint = createEndpoint(upstreamUrl, upstreamProxied);
  const source = new StatsigSpecs(endpoint, systemClock, config.maxPayloadBytes);
  const others = openOthers(config, createEndpoint);
  const eventsTarget = {
    endpoint: createEndpoint(events.upstreamUrl, events.upstreamProxied),
    shownUrl: displayUrl(events.upstreamUrl),
  };
  const openPreparer = () =>
    new WorkerPreparer(new Supervisor({ clock: systemClock, emit: () => {} }), config.maxPayloadBytes);
  const ports = findPorts(config);
  const isRelayRunning = async () => (await isAnyRelay(ports)) || (await checkHealth(given, env)).isReady;
  return [
    coresCheck(config.servingThreads),
    descriptorsCheck({
      ports: ports.filter(({ option }) => option !== "management-port").length,
      maxConnections: limits.maxConnections,
      threads: countAllThreads(config.listeners, config.servingThreads, availableCores()),
    }),
    namesCheck(findHosts(config)),
    proxyCheck(findProxyOf(config, env)),
    authoritiesCheck(env["NODE_EXTRA_CA_CERTS"] || undefined),
    upstreamCheck([
      { shownUrl: displayUrl(upstreamUrl), variable: "STATSIG_ENDPOINT", endpoint },
      ...others,
      { ...eventsTarget, variable: "LOG_EVENT_STATSIG_ENDPOINT" },
      ...findFilesHost(config, env, createEndpoint),
      ...findStorageHost(config, createEndpoint),
    ]),
    blobStorageCheck({
      specs: openBlobSpecs(config, source),
      problem: config.blobStorageProblem,
      sdkKeys: preloadSdkKeys,
    }),
    sdkKeysCheck({
      sdkKeys: preloadSdkKeys,
      source,
      others,
      openPreparer,
    }),
    idListsCheck({
      sdkKeys: preloadSdkKeys,
      manifests: new StatsigIdLists(endpoint, systemClock),
      files: new IdListFiles(systemClock, { relayVersion: VERSION, baseUrl: idLists.givenFilesUrl }),
      fetchesFiles: idLists.proxied || idLists.refreshesFiles,
    }),
    logEventsCheck({ ...eventsTarget, sdkKeys: preloadSdkKeys }),
    redisCheck(cache === "redis" ? { ...redis, clock: systemClock } : undefined),
    sinksCheck(findSinks(config, env, eventsTarget)),
    debugEndpointsCheck(config.management),
    cloudProfilerCheck({ ...config.profiling.cloud, version: config.profiling.cloud.version ?? VERSION }),
    profilingGateCheck({ gate: config.profiling.gate, source, openPreparer }),
    clockCheck(endpoint),
    foldersCheck(findFolders(config)),
    portsCheck({ ports, isRelayRunning }),
    certificateCheck(tls),
  ];
}

type CreateEndpoint = (baseUrl: string, proxied: boolean) => UpstreamEndpoint;

/** Opens the endpoints of `STATSIG_ENDPOINT` after the first one. */
function openOthers({ upstreamEndpoints, maxPayloadBytes }: Config, createEndpoint: CreateEndpoint) {
  return upstreamEndpoints.slice(1).map(({ url, proxied }) => {
    const endpoint = createEndpoint(url, proxied);
    const source = new StatsigSpecs(endpoint, systemClock, maxPayloadBytes);
    return { shownUrl: displayUrl(url), variable: "STATSIG_ENDPOINT", endpoint, source };
  });
}

function findFilesHost(
  { idLists: { givenFilesUrl } }: Config,
  env: Environment,
  createEndpoint: CreateEndpoint,
) {
  if (givenFilesUrl === undefined) return [];
  const endpoint = createEndpoint(givenFilesUrl, isProxied(givenFilesUrl, env));
  const variable = "STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE";
  return [{ shownUrl: displayUrl(givenFilesUrl), variable, endpoint }];
}

function findStorageHost({ blobStorage }: Config, createEndpoint: CreateEndpoint) {
  if (blobStorage === undefined) return [];
  const { baseUrl, proxied } = blobStorage;
  const endpoint = createEndpoint(baseUrl, proxied);
  return [{ shownUrl: displayUrl(baseUrl), variable: STORAGE_SETTING, endpoint }];
}

function openBlobSpecs(
  { blobStorage: storage, maxPayloadBytes: maxBytes }: Config,
  fallback: StatsigSpecs,
): BlobSpecs | undefined {
  if (storage === undefined) return undefined;
  const endpoint = new UpstreamEndpoint({ ...storage, relayVersion: VERSION });
  return new BlobSpecs({ endpoint, storage, fallback, report: () => {}, clock: systemClock, maxBytes });
}

function findHosts(config: Config): readonly HostToFind[] {
  const { upstreamEndpoints, blobStorage, events, cache, redis } = config;
  const hostname = (url: string) => new URL(url).hostname.replace(/^\[|\]$/g, "");
  const hosts: HostToFind[] = [];
  for (const { url, proxied } of upstreamEndpoints) {
    if (!proxied) hosts.push({ host: hostname(url), setting: "STATSIG_ENDPOINT" });
  }
  if (!events.upstreamProxied) {
    hosts.push({ host: hostname(events.upstreamUrl), setting: "LOG_EVENT_STATSIG_ENDPOINT" });
  }
  if (blobStorage !== undefined && !blobStorage.proxied) {
    hosts.push({ host: hostname(blobStorage.baseUrl), setting: STORAGE_SETTING });
  }
  if (cache !== "redis") return hosts;
  const { address } = redis.connection;
  const nodes =
    address.kind === "single" ? [address] : "nodes" in address ? address.nodes : address.sentinels;
  return [...hosts, ...nodes.map(({ host }) => ({ host, setting: findRedisVariable(address) }))];
}

/** The variable that names the host of Redis. `REDIS_URL` names it as well as `REDIS_ENTERPRISE_HOST`. */
function findRedisVariable({ kind }: RedisAddress): string {
  switch (kind) {
    case "single":
      return "REDIS_URL or REDIS_ENTERPRISE_HOST";
    case "sentinel":
      return "REDIS_SENTINELS";
    case "cluster":
      return "REDIS_CLUSTER_NODES";
  }
}

/** Returns the proxy of the first endpoint that has one. */
function findProxyOf({ upstreamEndpoints }: Config, env: Environment): ProxySetting | undefined {
  const location = upstreamEndpoints.find(({ proxied }) => proxied);
  return location && findProxy(location.url, env);
}

function findProxy(upstreamUrl: string, env: Environment): ProxySetting | undefined {
  const scheme = upstreamUrl.startsWith("https:") ? "HTTPS" : "HTTP";
  const names = [`${scheme}_PROXY`, `${scheme.toLowerCase()}_proxy`, "ALL_PROXY", "all_proxy"];
  const variable = names.find((name) => env[name]);
  return variable === undefined ? undefined : { variable, url: env[variable] ?? "" };
}

function findFolders({ cache, local, events, idLists }: Config): readonly FolderToWrite[] {
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

function findPorts({ listeners, management }: Config): readonly PortToOpen[] {
  return [
    ...listeners.map(({ option, bindAddress, port }) => ({ option, address: bindAddress, port })),
    ...(management === undefined
      ? []
      : [{ option: "management-port", address: management.bindAddress, port: management.port }]),
  ];
}
