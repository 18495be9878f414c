import { fileURLToPath } from "node:url";
import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";
import { GrpcStream, type SpecStream } from "./grpc-stream.ts";

export interface ConfigSpecRequest {
  readonly sdkKey: string;
  /** 1 for v1, 2 for v2. If undefined it is not sent. */
  readonly version?: 0 | 1 | 2;
  readonly sinceTime?: number;
  readonly zstdDictId?: string;
}

export interface ConfigSpecResponse {
  readonly spec: string;
  readonly lastUpdated: number;
  readonly zstdDictId?: string;
}

export interface UnaryResponse<T> {
  readonly message: T;
  readonly metadata: Metadata;
}

// An lcut is far below 2^53, so a number is exact.
const definition = loadSync(["statsig_forward_proxy.proto", "grpc/health/v1/health.proto"], {
  includeDirs: [fileURLToPath(new URL("../../../proto", import.meta.url))],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: false,
});
const proxyService = definition["statsig_forward_proxy.StatsigForwardProxy"] as ServiceDefinition;
const healthService = definition["grpc.health.v1.Health"] as ServiceDefinition;

function methodOf(service: ServiceDefinition, name: string) {
  const method = service[name];
  if (method === undefined) throw new Error(`the .proto file has no method ${name}`);
  return method;
}

/** A gRPC client that shares no code with the relay. */
export class GrpcClient implements Disposable {
  readonly #client: Client;
  readonly #deadlineMs = 10_000;

  /** `url` as the relay prints it. */
  constructor(url: string, channelCredentials: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(new URL(url).host, channelCredentials, {
      "grpc.max_receive_message_length": -1,
      // Each client has its own connection, as separate processes would.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  getConfigSpec(
    request: ConfigSpecRequest,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<UnaryResponse<ConfigSpecResponse>> {
    return this.#unary(methodOf(proxyService, "getConfigSpec"), request, headers).then(
      ({ message, metadata }) => ({
        // proto3 does not send zero values.
        message: { spec: "", lastUpdated: 0, ...message },
        metadata,
      }),
    );
  }

  streamConfigSpec(request: ConfigSpecRequest, headers: Readonly<Record<string, string>> = {}): SpecStream {
    const call = this.#stream(methodOf(proxyService, "StreamConfigSpec"), request, headers);
    return new GrpcStream(call, { spec: "", lastUpdated: 0 });
  }

  /** The results of `grpc.health.v1.Health/Watch`. */
  watchHealth(service = ""): GrpcStream<{ readonly status: string }> {
    return new GrpcStream(this.#stream(methodOf(healthService, "Watch"), { service }), { status: "UNKNOWN" });
  }

  /** The result of `grpc.health.v1.Health/Check`: SERVING, NOT_SERVING, ... */
  async checkHealth(service = ""): Promise<string> {
    const { message } = await this.#unary(methodOf(healthService, "Check"), { service });
    return "status" in message ? String(message.status) : "UNKNOWN";
  }

  /** The response headers of a health check. With `path`, the request is sent there. */
  async checkHeaders(path?: string): Promise<Metadata> {
    const method = methodOf(healthService, "Check");
    return (await this.#unary({ ...method, ...(path && { path }) }, { service: "" })).metadata;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #stream(
    method: ServiceDefinition[string],
    request: object,
    headers: Readonly<Record<string, string>> = {},
  ): ClientReadableStream<object> {
    const { path, requestSerialize, responseDeserialize } = method;
    return this.#client.makeServerStreamRequest<object, object>(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadataOf(headers),
    );
  }

  #unary(
    method: ServiceDefinition[string],
    request: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<UnaryResponse<object>> {
    return new Promise((resolve, reject) => {
      let metadata: Metadata | undefined;
      const deadline = Date.now() + this.#deadlineMs;
      const call = this.#client.makeUnaryRequest<object, object>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadataOf(headers),
        { deadline },
        (error: ServiceError | null, message?: object) => {
          if (error !== null || message === undefined || metadata === undefined) reject(error);
          else resolve({ message, metadata });
        },
      );
      call.once("metadata", (received: Metadata) => {
        metadata = received;
      });
    });
  }
}

function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}
