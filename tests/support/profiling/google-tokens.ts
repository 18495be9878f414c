import { createVerify, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Pem } from "../relay/pki.ts";

const TOKEN_URL = "https://oauth2.googleapis.com/token";
const ACCOUNT = "key@file-project.iam.gserviceaccount.com";
const FEDERATED = "federated@file-project.iam.gserviceaccount.com";
const AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p";

/** The hosts that this server stands for. */
export const TOKEN_HOSTS = [
  "oauth2.googleapis.com",
  "sts.googleapis.com",
  "iamcredentials.googleapis.com",
] as const;

/**
 * Google's servers of access tokens: for the key of a service account (RFC 7523), and for the token of another identity provider
 * (RFC 8693) with the impersonation of a service account. What a client must not send becomes a line in `violations`.
 */
export class FakeGoogleTokens implements AsyncDisposable {
  readonly violations: string[] = [];
  /** All that were issued for service accounts, in order. */
  readonly tokens: string[] = [];
  /** Answered instead of a token. */
  refusal: { readonly status: number; readonly error: string } | undefined;
  readonly #privateKey: string;
  readonly #publicKey: KeyObject;
  readonly #server: Server;

  private constructor(tls: Pem) {
    const pair = generateKeyPairSync("rsa", { modulusLength: 2_048 });
    this.#privateKey = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    this.#publicKey = pair.publicKey;
    this.#server = createServer(tls, (request, response) => void this.#receive(request, response));
  }

  static async start(tls: Pem): Promise<FakeGoogleTokens> {
    const tokens = new FakeGoogleTokens(tls);
    await new Promise<void>((resolve) => tokens.#server.listen(0, "127.0.0.1", resolve));
    return tokens;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The JSON file of a service account, as the console makes it. */
  get serviceAccount(): object {
    return {
      ...{ type: "service_account", project_id: "file-project", private_key_id: "k1" },
      ...{ private_key: this.#privateKey, client_email: ACCOUNT, client_id: "1", token_uri: TOKEN_URL },
    };
  }

  /** The JSON file of workload identity federation, whose token of the other provider is in `tokenPath`: `subject-token`. */
  federation(tokenPath: string): object {
    return {
      ...{ type: "external_account", audience: AUDIENCE, token_url: "https://sts.googleapis.com/v1/token" },
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      service_account_impersonation_url: `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${FEDERATED}:generateAccessToken`,
      credential_source: { file: tokenPath },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    response.setHeader("content-type", "application/json");
    if (this.refusal !== undefined) {
      const { status, error } = this.refusal;
      const description = "A sentence that may repeat the request.";
      response.writeHead(status).end(JSON.stringify({ error, error_description: description }));
      return;
    }
    const answer = this.#answer(`${request.headers.host}${request.url}`, text, request.headers.authorization);
    response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}));
  }

  #answer(place: string, text: string, authorization: string | undefined): object | undefined {
    const form = new URLSearchParams(text);
    switch (place) {
      case "oauth2.googleapis.com/token":
        this.#checkAssertion(form);
        return { access_token: this.#issue(), expires_in: 3_599, token_type: "Bearer" };
      case "sts.googleapis.com/v1/token":
        this.#expect("subject token", form.get("subject_token"), "subject-token");
        this.#expect("audience", form.get("audience"), AUDIENCE);
        return {
          ...{ access_token: "federated", expires_in: 3_599, token_type: "Bearer" },
          issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
        };
      case `iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${FEDERATED}:generateAccessToken`: {
        this.#expect("token", authorization, "Bearer federated");
        const expireTime = new Date(Date.now() + 3_599_000).toISOString();
        return { accessToken: this.#issue(), expireTime };
      }
      default:
        this.violations.push(`a request to ${place}`);
        return undefined;
    }
  }

  #checkAssertion(form: URLSearchParams): void {
    this.#expect("grant", form.get("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    const [header = "", payload = "", signature = ""] = (form.get("assertion") ?? "").split(".");
    const verify = createVerify("RSA-SHA256").update(`${header}.${payload}`);
    if (!verify.verify(this.#publicKey, Buffer.from(signature, "base64url"))) {
      this.violations.push("an assertion that the key has not signed");
    }
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    this.#expect("issuer", claims.iss, ACCOUNT);
    this.#expect("audience", claims.aud, TOKEN_URL);
    this.#expect("scope", claims.scope, "https://www.googleapis.com/auth/monitoring.write");
    if (claims.exp - claims.iat > 3_600) this.violations.push("an assertion that lives longer than an hour");
  }

  #expect(what: string, given: unknown, expected: string): void {
    if (given !== expected) this.violations.push(`${what} ${given}`);
  }

  #issue(): string {
    const token = `ya29.${crypto.randomUUID()}`;
    this.tokens.push(token);
    return token;
  }
}
