import {
  type ChannelOptions,
  Client,
  type ClientReadableStream,
  credentials,
  type Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";

export const GET_CONFIG_SPEC = "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec";
export const STREAM_CONFIG_SPEC = "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec";

export interface RawUnaryResponse {
  readonly message: Buffer;
  /** Sent before the message. */
  readonly metadata: Metadata;
  readonly status: StatusObject;
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** grpc-js with its defaults (a receive limit of 4 MiB), for raw messages and paths. */
export class RawGrpcClient implements Disposable {
  readonly #client: Client;

  constructor(url: string, options: ChannelOptions = {}) {
    this.#client = new Client(new URL(url).host, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  /** Rejects with grpc-js's ServiceError. */
  unary(path: string, request: Buffer, { deadlineMs = 10_000 } = {}): Promise<RawUnaryResponse> {
    return new Promise((resolve, reject) => {
      let message: Buffer | undefined;
      let metadata: Metadata | undefined;
      const deadline = Date.now() + deadlineMs;
      const done = (error: ServiceError | null, received?: Buffer) => {
        if (error !== null) reject(error);
        message = received;
      };
      this.#client
        .makeUnaryRequest(path, asIs, asIs, request, { deadline }, done)
        .on("metadata", (received: Metadata) => {
          metadata = received;
        })
        .on("status", (status) => {
          if (message !== undefined && metadata !== undefined) resolve({ message, metadata, status });
        });
    });
  }

  stream(path: string, request: Buffer): ClientReadableStream<Buffer> {
    return this.#client.makeServerStreamRequest(path, asIs, asIs, request);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
