import { readFileSync } from "node:fs";
import { credentials } from "@grpc/grpc-js";
import { curl } from "../clients/curl.ts";
import { GrpcClient } from "../clients/grpc-client.ts";
import { type PublishedKey, publishKey } from "../upstream/published-key.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { Authority, type Certified } from "./pki.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "./relay-process.ts";

export interface RelayWithTlsOptions extends RelayOptions {
  /** If undefined, the relay has no TLS, unless the arguments enable it. */
  readonly server?: Certified;
  /** The CA certificate for client certificates. */
  readonly clientCaPath?: string;
}

/** Returns the options for TLS on free ports. */
export const tlsArgs = ({ certPath, keyPath }: Certified, clientCaPath?: string): readonly string[] => [
  ...["--https-port", "0", "--grpcs-port", "0"],
  ...["--x509-server-cert-path", certPath, "--x509-server-key-path", keyPath],
  ...(clientCaPath === undefined ? [] : ["--x509-client-cert-path", clientCaPath]),
];

/** Starts a relay whose plaintext ports are closed if it has a certificate, unless the arguments have `--enforce-tls`. */
export function startRelayWithTls(options: RelayWithTlsOptions): Promise<RelayProcess> {
  const { server, clientCaPath, args = [], ...others } = options;
  const tls = server === undefined ? [] : tlsArgs(server, clientCaPath);
  const enforced = server === undefined || args.includes("--enforce-tls") ? [] : ["--enforce-tls"];
  return startRelayProcess({ ...others, args: [...tls, ...enforced, ...args] });
}

/** An authority for both sides, and several client certificates. */
export class ClientCertificates implements Disposable {
  /** Also issues server certificates. */
  readonly authority = new Authority("Test authority");
  readonly #stranger = new Authority("Strange authority");
  readonly good = this.#issue();
  readonly expired = this.#issue({ validDays: [-10, -1] });
  readonly wrongCa = this.#stranger.issue({ commonName: "svc-a", altNames: "DNS:svc-a.example" });
  readonly otherName = this.#issue({ commonName: "svc-b", altNames: "DNS:svc-b.example" });

  [Symbol.dispose](): void {
    this.authority[Symbol.dispose]();
    this.#stranger[Symbol.dispose]();
  }

  #issue(wish: Parameters<Authority["issue"]>[0] = {}): Certified {
    return this.authority.issue({ commonName: "svc-a", altNames: "DNS:svc-a.example", ...wish });
  }
}

/** An upstream with one SDK key, and certificates, for relays with TLS and their clients. */
export class TlsSetup implements AsyncDisposable {
  readonly pki = new ClientCertificates();
  readonly server = this.pki.authority.issue();
  readonly caPath = this.pki.authority.caPath;
  readonly upstream: Upstream;
  readonly published: PublishedKey;

  private constructor(upstream: Upstream, sdkKey: string) {
    this.upstream = upstream;
    this.published = publishKey(upstream, sdkKey);
  }

  static async start(sdkKey: string): Promise<TlsSetup> {
    return new TlsSetup(await startUpstream(), sdkKey);
  }

  specsUrl(relay: RelayProcess, protocol: string): string {
    return `${relay.urlOf(protocol)}/v2/download_config_specs/${this.published.sdkKey}.json`;
  }

  /** Returns the body of the response. */
  async byHttp(relay: RelayProcess, protocol: "http" | "https", client?: Certified): Promise<string> {
    const { body } = await curl(...curlTls(this.caPath, client), this.specsUrl(relay, protocol));
    return Buffer.from(body).toString();
  }

  /** Returns the config spec, and closes the client. */
  async byGrpc(client: GrpcClient): Promise<string> {
    using owner = client;
    const { message } = await owner.getConfigSpec({ sdkKey: this.published.sdkKey, version: 2 });
    return message.spec;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.upstream[Symbol.asyncDispose]();
    this.pki[Symbol.dispose]();
  }
}

/** Returns a plain grpc-js client over TLS, with a client certificate if one is given. */
export function tlsGrpcClient(url: string, caPath: string, client?: Certified): GrpcClient {
  const [key, cert] = client === undefined ? [null, null] : [client.keyPath, client.certPath].map(readBytes);
  // A host name, since grpc-js sends it as SNI, where an address is not allowed.
  const byName = url.replace("127.0.0.1", "localhost");
  return new GrpcClient(byName, credentials.createSsl(readBytes(caPath), key, cert));
}

const readBytes = (path: string): Buffer => readFileSync(path);

/** Returns options of curl for a server of this authority, with a client certificate if one is given. */
export const curlTls = (caPath: string, client?: Certified): string[] => [
  ...["--cacert", caPath],
  ...(client === undefined ? [] : ["--cert", client.certPath, "--key", client.keyPath]),
];
