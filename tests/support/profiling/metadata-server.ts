import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the server knows of the machine. A value that is undefined is answered 404, as on machines that do not have it. */
interface Machine {
  readonly project?: string | undefined;
  readonly zone?: string | undefined;
  readonly name?: string | undefined;
  readonly account?: string | undefined;
}

const MACHINE: Machine = {
  project: "machine-project",
  zone: "projects/123456/zones/europe-west1-b",
  name: "relay-7f9c",
  account: "relay@machine-project.iam.gserviceaccount.com",
};

const PREFIX = "/computeMetadata/v1/";
const TOKEN_PATH = "instance/service-accounts/default/token";

/** Google's metadata server, on a free port of loopback. It refuses requests without its header, as the real one does. */
export class FakeMetadataServer implements AsyncDisposable {
  /** Paths without their prefix, in order. */
  readonly asked: string[] = [];
  /** The scopes that tokens were requested for. */
  readonly scopes = new Set<string>();
  /** Requests without the header. */
  refused = 0;
  /** The token that is given out now. */
  token = "ya29.first";
  lifeS = 3_599;
  isSilent = false;
  /** Paths that are answered with a status instead of their value, or not at all. */
  readonly failing = new Map<string, number | "silent">();
  readonly #machine: Machine;
  readonly #server = createServer((request, response) => this.#answer(request, response));

  private constructor(machine: Machine) {
    this.#machine = { ...MACHINE, ...machine };
  }

  static async start(machine: Machine = {}): Promise<FakeMetadataServer> {
    const server = new FakeMetadataServer(machine);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** For GCE_METADATA_HOST. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "", "http://metadata");
    if (this.isSilent) return;
    if (request.headers["metadata-flavor"] !== "Google") {
      this.refused++;
      response.writeHead(403).end("Missing Metadata-Flavor:Google header.");
      return;
    }
    const path = url.pathname.replace(PREFIX, "");
    this.asked.push(path);
    response.setHeader("metadata-flavor", "Google");
    const failure = this.failing.get(path);
    if (failure === "silent") return;
    if (failure !== undefined) {
      response.writeHead(failure).end("try again");
      return;
    }
    if (path === TOKEN_PATH) {
      this.scopes.add(url.searchParams.get("scopes") ?? "");
      const body = { access_token: this.token, expires_in: this.lifeS, token_type: "Bearer" };
      response.setHeader("content-type", "application/json").end(JSON.stringify(body));
      return;
    }
    const value = this.#find(path);
    if (value === undefined) response.writeHead(404).end("not found");
    else response.end(value);
  }

  #find(path: string): string | undefined {
    const { project, zone, name, account } = this.#machine;
    switch (path) {
      case "project/project-id":
        return project;
      case "instance/zone":
        return zone;
      case "instance/name":
        return name;
      case "instance/service-accounts/default/email":
        return account;
      default:
        return undefined;
    }
  }
}
