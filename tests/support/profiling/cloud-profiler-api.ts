import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Pem } from "../relay/pki.ts";

/** What the server does with a request. */
export type ApiAnswer =
  /** A profile is wanted now. */
  | {
      readonly kind: "profile";
      readonly profileType: string;
      readonly duration?: string;
      readonly name?: string;
    }
  | { readonly kind: "answer"; readonly status: number; readonly body: string; readonly location?: string }
  /** Accepts an upload. */
  | { readonly kind: "accept" }
  /** Nothing is answered until the connection ends. */
  | { readonly kind: "hold" }
  | { readonly kind: "hang-up" };

export const cpu = (duration = "1s"): ApiAnswer => ({ kind: "profile", profileType: "CPU", duration });
export const heap: ApiAnswer = { kind: "profile", profileType: "HEAP" };

/** An error as Google's APIs answer it. */
export function refusal(status: number, code: string, details: readonly object[] = []): ApiAnswer {
  const error = { code: status, message: `A sentence about ${code}.`, status: code, details };
  return { kind: "answer", status, body: JSON.stringify({ error }) };
}

export const retryInfo = (retryDelay: string) => ({
  "@type": "type.googleapis.com/google.rpc.RetryInfo",
  retryDelay,
});

/** The wish for a profile. */
interface CreateRequest {
  readonly project: string;
  readonly token: string;
  readonly deployment: {
    readonly projectId: string;
    readonly target: string;
    readonly labels: Record<string, string>;
  };
  readonly profileType: readonly string[];
}

interface Upload {
  readonly name: string;
  readonly profileType: string;
  readonly token: string;
  /** A gzipped pprof. */
  readonly bytes: Uint8Array;
  readonly labels: Record<string, string>;
}

const CREATE = /^\/v2\/projects\/([^/]+)\/profiles$/;
const UPDATE = /^\/v2\/(projects\/[^/]+\/profiles\/[^/]+)$/;

/**
 * The Cloud Profiler API on a free port of loopback. A wish for a profile is held until there is an answer for it. What an agent must
 * not do becomes a line in `violations`.
 */
export class FakeCloudProfilerApi implements AsyncDisposable {
  readonly creates: CreateRequest[] = [];
  readonly uploads: Upload[] = [];
  readonly violations: string[] = [];
  /** Wishes that were given up by their client. */
  cancelled = 0;
  /** Tokens that are accepted; all if empty. */
  readonly accepted = new Set<string>();
  /** Answers to the next uploads; accepted without one. */
  readonly onUpload: ApiAnswer[] = [];
  readonly #onCreate: ApiAnswer[] = [];
  readonly #held: { readonly project: string; readonly response: ServerResponse }[] = [];
  readonly #open = new Map<string, string>();
  readonly #server: ReturnType<typeof createServer>;
  #named = 0;

  private constructor(tls: Pem | undefined) {
    const receive = (request: IncomingMessage, response: ServerResponse) =>
      void this.#receive(request, response);
    this.#server = tls === undefined ? createServer(receive) : createTlsServer(tls, receive);
  }

  static async start(tls?: Pem): Promise<FakeCloudProfilerApi> {
    const api = new FakeCloudProfilerApi(tls);
    await new Promise<void>((resolve) => api.#server.listen(0, "127.0.0.1", resolve));
    return api;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Without TLS. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The number of wishes that are held now. */
  get held(): number {
    return this.#held.length;
  }

  /** Answers the wish that is held longest, or else the next one. Several answers are for as many wishes. */
  answer(...answers: readonly ApiAnswer[]): void {
    for (const answer of answers) {
      const waiting = this.#held.shift();
      if (waiting === undefined) this.#onCreate.push(answer);
      else this.#respond(waiting.response, waiting.project, answer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { pathname, searchParams } = new URL(request.url ?? "", "http://api");
    if (request.method === "GET") {
      response.writeHead(404).end();
      return;
    }
    const [, token = ""] = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "") ?? [];
    if (token === "") this.violations.push("a request without a bearer token");
    if (request.headers["content-type"] !== "application/json")
      this.violations.push("a body that is not JSON");
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const [, project] = CREATE.exec(pathname) ?? [];
    const [, name] = UPDATE.exec(pathname) ?? [];
    const isCreate = request.method === "POST" && project !== undefined;
    if (!isCreate && (request.method !== "PATCH" || name === undefined)) {
      this.violations.push(`${request.method} ${pathname}`);
      response.writeHead(404).end();
      return;
    }
    if (isCreate) this.#create(project, { ...body, token }, response);
    else this.#update(String(name), { ...body, token, mask: searchParams.get("updateMask") }, response);
  }

  #create(project: string, body: Omit<CreateRequest, "project">, response: ServerResponse): void {
    const { deployment, profileType, token } = body;
    this.creates.push({ project, token, deployment, profileType });
    if (deployment.projectId !== project)
      this.violations.push("a deployment of another project than the URL");
    if (!/^[a-z]([-a-z0-9_.]{0,253}[a-z0-9])?$/.test(deployment.target))
      this.violations.push("an invalid target");
    if (this.#isRejected(token, response)) return;
    const next = this.#onCreate.shift();
    if (next !== undefined) {
      this.#respond(response, project, next);
      return;
    }
    const waiting = { project, response };
    this.#held.push(waiting);
    response.on("close", () => {
      const at = this.#held.indexOf(waiting);
      if (at < 0) return;
      this.#held.splice(at, 1);
      this.cancelled++;
    });
  }

  #update(name: string, body: UpdateBody, response: ServerResponse): void {
    if (this.#isRejected(body.token, response)) return;
    const profileType = this.#open.get(name);
    if (profileType === undefined) this.violations.push(`an upload of ${name}, which is not open`);
    if (body.name !== name) this.violations.push("a profile of another name than the URL");
    if (body.mask !== "profileBytes,labels") this.violations.push(`the field mask ${body.mask}`);
    const next = this.onUpload.shift() ?? { kind: "accept" };
    if (next.kind !== "accept") {
      this.#respond(response, "", next);
      return;
    }
    this.#open.delete(name);
    const { token, labels, profileBytes } = body;
    const bytes = Buffer.from(profileBytes, "base64");
    this.uploads.push({ name, profileType: profileType ?? "", token, bytes, labels });
    response.setHeader("content-type", "application/json").end(JSON.stringify({ name, profileType }));
  }

  #isRejected(token: string, response: ServerResponse): boolean {
    if (this.accepted.size === 0 || this.accepted.has(token)) return false;
    this.#respond(response, "", refusal(401, "UNAUTHENTICATED"));
    return true;
  }

  #respond(response: ServerResponse, project: string, answer: ApiAnswer): void {
    response.setHeader("content-type", "application/json");
    switch (answer.kind) {
      case "profile": {
        const name = answer.name ?? `projects/${project}/profiles/profile-${++this.#named}`;
        this.#open.set(name, answer.profileType);
        const { profileType, duration } = answer;
        response.end(JSON.stringify({ name, profileType, deployment: {}, ...(duration && { duration }) }));
        return;
      }
      case "answer":
        if (answer.location !== undefined) response.setHeader("location", answer.location);
        response.writeHead(answer.status).end(answer.body);
        return;
      case "hang-up":
        response.socket?.destroy();
        return;
      case "accept":
      case "hold":
    }
  }
}

interface UpdateBody {
  readonly name: string;
  readonly token: string;
  readonly mask: string | null;
  readonly profileBytes: string;
  readonly labels: Record<string, string>;
}
