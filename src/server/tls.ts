import type { SecureServerOptions } from "node:http2";
import type { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { clientAddressOf, connectionUnder } from "../platform/tcp-connection.ts";
import type { Certificates, TlsSettings } from "./certificates.ts";
import { isFromAuthority } from "./issuers.ts";
import type { EmitTlsEvent } from "./tls-events.ts";
import { explainHandshake, findRefusal, type TlsRefusal } from "./tls-refusals.ts";

/**
 * The TLS 1.2 suites with forward secrecy and authenticated encryption (RFC 9325, 4.2). By default the library also accepts
 * CBC, and RSA key exchange, with which recorded traffic can be decrypted once the private key leaks. The suites of TLS 1.3
 * are always on.
 */
const CIPHERS = ["ECDSA", "RSA"]
  .flatMap((kind) =>
    ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"].map((each) => `ECDHE-${kind}-${each}`),
  )
  .join(":");

const EARLIER_AUTHORITY =
  "the client resumes a TLS session, and its certificate is not from an authority in --x509-client-cert-path any more";

interface ServerTlsParts {
  readonly settings: TlsSettings;
  /** Clients are asked for a certificate if these have authorities. Later ones cannot change that. */
  readonly certificates: Certificates;
  readonly emit: EmitTlsEvent;
}

/** Where a connection comes from, as far as it is known. */
interface Origin {
  readonly client?: string;
  readonly port?: number;
}

function findOrigin(socket: Socket): Origin {
  const { localPort: port } = socket;
  const client = clientAddressOf(socket);
  return { ...(client !== "" && { client }), ...(port !== undefined && { port }) };
}

/** TLS of all servers of one thread. New certificates replace the old ones while connections stay open. */
export class ServerTls {
  readonly #settings: TlsSettings;
  readonly #emit: EmitTlsEvent;
  readonly #servers = new Set<Server>();
  #certificates: Certificates;
  /** Whether other authorities of clients were trusted before. */
  #hasNewAuthorities = false;

  constructor({ settings, certificates, emit }: ServerTlsParts) {
    this.#settings = settings;
    this.#emit = emit;
    this.#certificates = certificates;
  }

  /** The options for a new server. */
  get serverOptions(): SecureServerOptions {
    return {
      ...this.#context(),
      requestCert: this.#asksClients(),
      // If false, a client's certificate is checked after the handshake.
      rejectUnauthorized: this.#settings.requireClientCert,
    };
  }

  /**
   * Includes the server in {@link replace}, and closes connections of clients whose certificate is rejected. `protocols` names what
   * clients may negotiate by ALPN, for log lines.
   */
  secure(server: Server, protocols: string): void {
    this.#servers.add(server);
    server.once("close", () => this.#servers.delete(server));
    const origins = new WeakMap<Socket, Origin>();
    server.on("connection", (socket: Socket) => origins.set(socket, findOrigin(socket)));
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      const refusal = explainHandshake(error, this.#settings, protocols);
      // After some failures the socket has no address any more.
      if (refusal !== undefined) this.#emitRefused(refusal, origins.get(connectionUnder(socket)));
    });
    server.prependListener("secureConnection", (socket: TLSSocket) => {
      const refusal = this.#findRefusal(socket);
      if (refusal === undefined) return;
      this.#emitRefused(refusal, findOrigin(socket));
      socket.destroy();
    });
  }

  /** Uses other certificates for new connections on all servers. They were checked when they were loaded, so this cannot fail. */
  replace(certificates: Certificates): void {
    if (certificates.ca !== this.#certificates.ca) this.#hasNewAuthorities = true;
    this.#certificates = certificates;
    for (const server of this.#servers) server.setSecureContext(this.#context());
  }

  #findRefusal(socket: TLSSocket): TlsRefusal | undefined {
    const { ca } = this.#certificates;
    if (ca === undefined) return undefined;
    const refusal = findRefusal(socket, this.#settings);
    if (refusal !== undefined || !this.#hasNewAuthorities || !socket.isSessionReused()) return refusal;
    // Bun makes new keys for sessions with a new certificate. Deno continues one that the earlier authorities have let in.
    const isGiven = Boolean(socket.getPeerCertificate()?.raw);
    return !isGiven || isFromAuthority(socket, ca) ? undefined : { reason: EARLIER_AUTHORITY };
  }

  #asksClients(): boolean {
    return this.#certificates.ca !== undefined;
  }

  #emitRefused(refusal: TlsRefusal, origin: Origin | undefined): void {
    this.#emit({ kind: "tls_client_refused", ...refusal, ...origin });
  }

  /** Returns all settings each time: a server drops the ones that a new context omits, cipher suites among them. */
  #context() {
    const { cert, key, ca } = this.#certificates;
    const { minVersion } = this.#settings;
    const protocol = { minVersion: `TLSv${minVersion}`, ciphers: CIPHERS } as const;
    return { cert, key, ...(ca !== undefined && { ca }), ...protocol };
  }
}
