import { type ChannelCredentials, Metadata } from "@grpc/grpc-js";
import { GrpcClient } from "../clients/grpc-client.ts";
import type { SecretSearch } from "./secret-search.ts";

interface Asked {
  readonly path: string;
  readonly init?: BunFetchRequestInit;
}

const JSON_TYPE = { "content-type": "application/json" };
const RPC = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";

/** Requests with a key in every place of an HTTP request, valid or not. */
function requestsWith(key: string): Asked[] {
  const inPath = encodeURIComponent(key);
  const inHeader = { "statsig-api-key": key };
  const post = (body: string, headers: Record<string, string> = {}) => ({ method: "POST", body, headers });
  const rpc = `{"sdkKey":"${key}"}`;
  return [
    { path: `/v1/download_config_specs/${inPath}.json` },
    { path: `/v2/download_config_specs/${inPath}.json?sinceTime=${inPath}` },
    { path: `/v2/download_config_specs/${inPath}.json`, init: { method: "DELETE" } },
    { path: "/v2/download_config_specs", init: { headers: inHeader } },
    { path: `/v2/download_config_specs?sdkKey=${inPath}&k=${inPath}` },
    { path: "/v1/download_config_specs", init: post(rpc, inHeader) },
    { path: "/v1/download_config_specs", init: post(`{"sdkKey":${key}`, inHeader) },
    { path: `/v1/get_id_lists/${inPath}.json` },
    { path: "/v1/get_id_lists", init: post("{}", inHeader) },
    { path: `/v1/download_id_list_file/${inPath}` },
    { path: `/v1/unknown/${inPath}`, init: { headers: { authorization: `Bearer ${key}` } } },
    { path: `/${inPath}` },
    { path: `/v1/log_event?k=${inPath}`, init: post('{"events":[]}') },
    { path: "/v1/log_event", init: post(`{"events":${key}`, inHeader) },
    { path: "/v1/log_event", init: post("{}", { ...inHeader, "content-encoding": key }) },
    { path: RPC, init: post(rpc, JSON_TYPE) },
    { path: RPC, init: post(rpc.slice(0, -1), JSON_TYPE) },
    { path: RPC, init: post(`{"${key}":1}`, JSON_TYPE) },
    { path: `${RPC}${inPath}`, init: post(rpc, JSON_TYPE) },
    { path: RPC, init: post(rpc, { "content-type": key }) },
  ];
}

/** Searches every response, and returns the number of responses. */
export async function askByHttp(url: string, keys: readonly string[], search: SecretSearch): Promise<number> {
  const requests = keys.flatMap(requestsWith);
  for (const { path, init } of requests) {
    const response = await fetch(`${url}${path}`, {
      ...init,
      redirect: "manual",
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(10_000),
    });
    await search.lookAt("an answer over HTTP", response);
  }
  return requests.length;
}

/** Sends one exposure and one other event, which are queued for upstream. */
export async function logEvents(url: string, key: string, search: SecretSearch): Promise<number> {
  const response = await fetch(`${url}/v1/log_event`, {
    method: "POST",
    headers: { "statsig-api-key": key, "statsig-sdk-type": "test" },
    body: JSON.stringify({ events: [{ eventName: "bought" }], statsigMetadata: { sdkType: "test" } }),
  });
  return (await search.lookAt("an answer to events", response)).status;
}

/** Makes a unary call and opens a stream for each key. */
export async function askByGrpc(
  url: string,
  keys: readonly string[],
  search: SecretSearch,
  credentials?: ChannelCredentials,
): Promise<void> {
  using client = new GrpcClient(url, credentials);
  const look = (ending: unknown) => search.look("an answer over gRPC", everythingOf(ending));
  for (const sdkKey of keys) {
    await client.getConfigSpec({ sdkKey }).then(look, look);
    using stream = client.streamConfigSpec({ sdkKey });
    await stream.next().then(look, look);
  }
}

function everythingOf(ending: unknown): string {
  const metadataOf = (_: string, value: unknown) => (value instanceof Metadata ? value.toJSON() : value);
  const message = ending instanceof Error ? `${ending.message}\n` : "";
  return message + JSON.stringify(ending, metadataOf);
}
