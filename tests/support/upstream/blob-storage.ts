import { createHmac } from "node:crypto";

export const ACCOUNT = "testaccount";
export const ACCOUNT_KEY = Buffer.from("the key of the test account").toString("base64");
export const COMPANY = "company-1";

/** A stored blob, or what the storage does instead of sending it. */
interface StoredBlob {
  readonly body: string | Uint8Array;
  /** Sent as `x-ms-meta-lcut`. */
  readonly lcut?: number | string;
  readonly type?: string;
  readonly encoding?: string;
}

export type BlobFault =
  | { readonly kind: "answer"; readonly status: number; readonly code: string }
  | { readonly kind: "silence" };

/** Blob storage of Azure for one account, on a free port of loopback. Sends a blob only for a URL with a valid signature. */
export class BlobStorageServer implements AsyncDisposable {
  /** `METHOD /container/name`, and why the request was rejected. */
  readonly requests: string[] = [];
  /** The queries of all requests, with their signatures. */
  readonly queries: URLSearchParams[] = [];
  /** What requests get instead, by `METHOD key` or by key. */
  readonly faults = new Map<string, BlobFault>();
  readonly #blobs = new Map<string, StoredBlob>();
  readonly #server: Bun.Server<undefined>;
  /** Headers of the last request. */
  headers: Readonly<Record<string, string>> = {};

  constructor() {
    this.#server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => this.#respond(request) });
  }

  get connectionString(): string {
    return `DefaultEndpointsProtocol=https;AccountName=${ACCOUNT};AccountKey=${ACCOUNT_KEY};BlobEndpoint=${this.url}/`;
  }

  get url(): string {
    return this.#server.url.origin;
  }

  /** The variables of a relay that uses this storage. */
  get env(): Readonly<Record<string, string>> {
    return {
      ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: "true",
      DCS_BLOB_STORAGE_CONNECTION_STRING: this.connectionString,
      DCS_BLOB_STORAGE_COMPANY_ID: COMPANY,
    };
  }

  put(container: "dcs-v1" | "dcs-v2", sdkKey: string, blob: StoredBlob): void {
    this.#blobs.set(`/${container}/${COMPANY}/${sdkKey}`, blob);
  }

  remove(container: "dcs-v1" | "dcs-v2", sdkKey: string): void {
    this.#blobs.delete(`/${container}/${COMPANY}/${sdkKey}`);
  }

  /** Requests for blobs of this key, in order: `METHOD container`. */
  requestsFor(sdkKey: string): readonly string[] {
    return this.requests
      .filter((request) => request.endsWith(`/${COMPANY}/${sdkKey}`))
      .map((request) => request.replace(/ \/([^/]+)\/.*/, " $1"));
  }

  #respond(request: Request): Promise<Response> | Response {
    const url = new URL(request.url);
    const path = decodeURIComponent(url.pathname);
    this.headers = Object.fromEntries(request.headers);
    this.queries.push(url.searchParams);
    this.requests.push(`${request.method} ${path}`);
    const sdkKey = path.slice(path.lastIndexOf("/") + 1);
    const fault = this.faults.get(`${request.method} ${sdkKey}`) ?? this.faults.get(sdkKey);
    if (fault?.kind === "silence") return new Promise(() => {});
    if (fault !== undefined) return refuse(fault.status, fault.code);
    if (!isSigned(url, path)) return refuse(403, "AuthenticationFailed");
    const blob = this.#blobs.get(path);
    if (blob === undefined) return refuse(404, "BlobNotFound");
    const { body, lcut, type = "application/json", encoding } = blob;
    const headers = {
      "content-type": type,
      ...(lcut !== undefined && { "x-ms-meta-lcut": String(lcut) }),
      ...(encoding !== undefined && { "content-encoding": encoding }),
    };
    return new Response(request.method === "HEAD" ? null : (body as string), { headers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

function refuse(status: number, code: string): Response {
  return new Response(`<Error><Code>${code}</Code></Error>`, {
    status,
    headers: { "x-ms-error-code": code },
  });
}

/** Checks the signature, and that it is for reading this blob for at most five minutes. */
function isSigned(url: URL, path: string): boolean {
  const of = (name: string) => url.searchParams.get(name) ?? "";
  const lifeMs = Date.parse(of("se")) - Date.now();
  if (of("sp") !== "r" || of("sr") !== "b" || !(lifeMs > 0 && lifeMs <= 300_000)) return false;
  const signed = `r\n${of("st")}\n${of("se")}\n/blob/${ACCOUNT}${path}\n\n\n${of("spr")}\n${of("sv")}\nb\n\n\n\n\n\n\n`;
  const wanted = createHmac("sha256", Buffer.from(ACCOUNT_KEY, "base64")).update(signed).digest("base64");
  return of("sig") === wanted;
}
