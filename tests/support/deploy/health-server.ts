import { fileURLToPath } from "node:url";
import { type Metadata, Server, ServerCredentials, type ServiceDefinition, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const definition = loadSync(["statsig_forward_proxy.proto", "grpc/health/v1/health.proto"], {
  includeDirs: [fileURLToPath(new URL("../../../proto", import.meta.url))],
});

/** How the server answers Check: with this status, with UNIMPLEMENTED, or not at all. */
type Answer = "SERVING" | "NOT_SERVING" | "unimplemented" | "silent";

interface CheckCall {
  readonly request: { readonly service: string };
  readonly metadata: Metadata;
}

/** A gRPC server of another implementation with the health service. It records the calls. */
export class HealthServer implements Disposable {
  readonly #server: Server;
  readonly port: number;
  readonly calls: CheckCall[];

  private constructor(server: Server, port: number, calls: CheckCall[]) {
    this.#server = server;
    this.port = port;
    this.calls = calls;
  }

  static async start(answer: Answer, port = 0): Promise<HealthServer> {
    const server = new Server();
    const calls: CheckCall[] = [];
    server.addService(definition["grpc.health.v1.Health"] as ServiceDefinition, {
      check(call: CheckCall, respond: (error: object | null, response?: object) => void) {
        calls.push(call);
        if (answer === "silent") return;
        if (answer === "unimplemented") respond({ code: status.UNIMPLEMENTED, details: "not here" });
        else respond(null, { status: answer });
      },
    });
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, open) =>
        error === null ? resolve(open) : reject(error),
      );
    });
    return new HealthServer(server, bound, calls);
  }

  [Symbol.dispose](): void {
    this.#server.forceShutdown();
  }
}
