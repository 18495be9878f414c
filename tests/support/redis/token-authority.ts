import type { EntraOptions } from "../../../src/redis/options.ts";
import type { Pem } from "../relay/pki.ts";

/** What the authority does with a request. */
export type AuthorityAnswer =
  | { readonly kind: "token"; readonly lifeS: number; readonly token?: string }
  | { readonly kind: "answer"; readonly status: number; readonly body: string; readonly location?: string }
  | { readonly kind: "silence" };

interface TokenRequest {
  readonly method: string;
  readonly path: string;
  readonly type: string;
  readonly form: Readonly<Record<string, string>>;
}

/** A server that issues access tokens as Microsoft Entra ID does, on a free port of loopback. */
export class TokenAuthority implements AsyncDisposable {
  readonly requests: TokenRequest[] = [];
  /** All that were issued, in order. */
  readonly tokens: string[] = [];
  /** What the next requests get. */
  answer: AuthorityAnswer = { kind: "token", lifeS: 3_600 };
  /** Runs before a new token is sent. */
  onToken: (token: string) => Promise<void> | void = () => {};
  readonly #server: Bun.Server<undefined>;

  constructor(tls?: Pem) {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      ...(tls !== undefined && { tls }),
      fetch: (request) => this.#respond(request),
    });
  }

  get url(): string {
    return this.#server.url.origin;
  }

  get entra(): EntraOptions {
    const ids = {
      tenantId: "tenant-1",
      clientId: "client-1",
      clientSecret: "s3cret&=é",
      scope: "api://redis/.default",
    };
    return { authority: this.url, ...ids };
  }

  async #respond(request: Request): Promise<Response> {
    const { pathname: path } = new URL(request.url);
    const form = Object.fromEntries(new URLSearchParams(await request.text()));
    this.requests.push({
      method: request.method,
      path,
      type: request.headers.get("content-type") ?? "",
      form,
    });
    const { answer } = this;
    switch (answer.kind) {
      case "token": {
        const token = answer.token ?? `token-${this.tokens.length + 1}-${crypto.randomUUID()}`;
        this.tokens.push(token);
        await this.onToken(token);
        return Response.json({ token_type: "Bearer", expires_in: answer.lifeS, access_token: token });
      }
      case "answer": {
        const { status, body, location } = answer;
        return new Response(body, { status, headers: location === undefined ? {} : { location } });
      }
      case "silence":
        return new Promise(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
