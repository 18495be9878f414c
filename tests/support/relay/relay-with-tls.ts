import { readFileSync } from "node:fs";
import { credentials } from "@grpc/grpc-js";
import { GrpcClient } from "../clients/grpc-client.ts";
import { Authority, type Certified } from "./pki.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "./relay-process.ts";

export interface RelayWithTlsOptions extends RelayOptions {
  /** If undefined there is no TLS, unless the arguments enable it. */
  readonly server?: Certified;
  /** The file of the authority of client certificates. */
  readonly clientCaPath?: string;
}

/** The TLS options, with free ports. */
export const tlsArgs = ({ certPath, keyPath }: Certified, clientCaPath?: string): readonly string[] => [
  ...["--https-port", "0", "--grpcs-port", "0"],
  ...["--x509-server-cert-path", certPath, "--x509-server-key-path", keyPath],
  ...(clientCaPath === undefined ? [] : ["--x509-client-cert-path", clientCaPath]),
];

export function startRelayWithTls(options: RelayWithTlsOptions): Promise<RelayProcess> {
  const { server, clientCaPath, args = [], ...others } = options;
  const tls = server === undefined ? [] : tlsArgs(server, clientCaPath);
  return startRelayProcess({ ...others, args: [...tls, ...args] });
}

/** An authority for both sides, and the client certificates. */
export class ClientCertificates implements Disposable {
  /** Issues server certificates as well. */
  readonly authority = new Authority("Test authority");
  readonly #otherAuthority = new Authority("Other authority");
  readonly good = this.#issue();
  readonly expired = this.#issue({ validDays: [-10, -1] });
  readonly wrongCa = this.#otherAuthority.issue({ commonName: "svc-a", altNames: "DNS:svc-a.example" });
  readonly otherName = this.#issue({ commonName: "svc-b", altNames: "DNS:svc-b.example" });

  [Symbol.dispose](): void {
    this.authority[Symbol.dispose]();
    this.#otherAuthority[Symbol.dispose]();
  }

  #issue(wish: Parameters<Authority["issue"]>[0] = {}): Certified {
    return this.authority.issue({ commonName: "svc-a", altNames: "DNS:svc-a.example", ...wish });
  }
}

/** grpc-js with its defaults, over TLS, with a client certificate if the client has one. */
export function tlsGrpcClient(url: string, caPath: string, client?: Certified): GrpcClient {
  const [key, cert] = client === undefined ? [null, null] : [client.keyPath, client.certPath].map(readBytes);
  // By name: grpc-js sends the server name, and an address is not a name.
  const byName = url.replace("127.0.0.1", "localhost");
  return new GrpcClient(byName, credentials.createSsl(readBytes(caPath), key, cert));
}

const readBytes = (path: string): Buffer => readFileSync(path);

/** curl's options for a server of this authority, with a client certificate if the client has one. */
export const curlTls = (caPath: string, client?: Certified): string[] => [
  ...["--cacert", caPath],
  ...(client === undefined ? [] : ["--cert", client.certPath, "--key", client.keyPath]),
];
