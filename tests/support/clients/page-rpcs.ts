import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  type ConfigSpecRequestSchema,
  StatsigForwardProxy,
} from "../../../src/gen/statsig_forward_proxy_pb.ts";

export type PageProtocol = "connect" | "grpc-web";

/** The result of one RPC: the lcut of the first spec, or the name of the error code. */
export interface PageResult {
  readonly lcut?: string;
  readonly error?: string;
}

/** Passed to the page as `pageRpc`: this file is bundled, and runs in a browser. */
async function pageRpc(
  protocol: PageProtocol,
  relayUrl: string,
  sdkKey: string,
  streams: boolean,
): Promise<PageResult> {
  const options = { baseUrl: relayUrl, defaultTimeoutMs: 10_000 };
  const isConnect = protocol === "connect";
  const transport = isConnect ? createConnectTransport(options) : createGrpcWebTransport(options);
  const client: Client<typeof StatsigForwardProxy> = createClient(StatsigForwardProxy, transport);
  const request: MessageInitShape<typeof ConfigSpecRequestSchema> = { sdkKey, version: 2 };
  try {
    if (!streams) return { lcut: String((await client.getConfigSpec(request)).lastUpdated) };
    for await (const { lastUpdated } of client.streamConfigSpec(request))
      return { lcut: String(lastUpdated) };
    return { error: "the stream ended" };
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    return { error: `${Code[code]}: ${rawMessage}` };
  }
}

Object.assign(globalThis, { pageRpc });
