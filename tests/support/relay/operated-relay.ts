import { type ManagedRelay, startManagedRelay } from "./managed-relay.ts";
import type { RelayOptions } from "./relay-process.ts";

export const OPERATOR_TOKEN = "a-token-of-24-characters";

/** An answer of the operator API. */
export interface OperatorReply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many shapes.
  readonly body: any;
}

/** A relay with the operator API. */
export interface OperatedRelay extends ManagedRelay {
  /** Sends a POST with the body, or a GET without one. */
  order(path: string, body?: object): Promise<OperatorReply>;
  /** Returns the lcut and the color of the config that clients get now. */
  served(sdkKey: string, version?: "v1" | "v2"): Promise<ServedSpec>;
}

export interface ServedSpec {
  readonly lcut: number;
  readonly color: string;
}

export async function startOperatedRelay(options: RelayOptions = {}): Promise<OperatedRelay> {
  const env = { SFP_MANAGEMENT_TOKEN: OPERATOR_TOKEN, ...options.env };
  const managed = await startManagedRelay({ ...options, env });
  return {
    ...managed,
    order: (path, body) => sendOrder(managed.url, path, body),
    served: (sdkKey, version = "v2") => askServed(managed.relay.httpUrl, sdkKey, version),
  };
}

export async function sendOrder(url: string, path: string, body?: object): Promise<OperatorReply> {
  const response = await fetch(`${url}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

/** Fails unless the header and the body name the same version. */
async function askServed(httpUrl: string, sdkKey: string, version: "v1" | "v2"): Promise<ServedSpec> {
  const response = await fetch(`${httpUrl}/${version}/download_config_specs/${sdkKey}.json`);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  const lcut = Number(/"time":(\d+)/.exec(text)?.[1]);
  const inHeader = Number(response.headers.get("x-since-time"));
  if (lcut !== inHeader) throw new Error(`the body has ${lcut}, the header ${inHeader}`);
  return { lcut, color: /"color":"(?!default)([^"]*)"/.exec(text)?.[1] ?? "" };
}
