import type { SecureServerOptions } from "node:http2";
import type { Server, TLSSocket } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../platform/clock.ts";
import { type FileContents, FileWatch } from "../platform/file-watch.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { type Certificates, findRejection, loadCertificates, type TlsOptions } from "./certificates.ts";
import type { Repeated } from "./repeated.ts";

/** A certificate that expires within this time is warned of. */
const WARN_BEFORE_MS = 14 * 24 * 3_600_000;

const WARN_EVERY_MS = 24 * 3_600_000;

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

interface ServerTlsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitTlsEvent;
}

/** The certificate of all TLS ports. A new one replaces it while connections stay open. */
export class ServerTls implements AsyncDisposable {
  readonly #options: TlsOptions;
  readonly #clock: Clock;
  readonly #emit: EmitTlsEvent;
  readonly #servers = new Set<Server>();
  readonly #watch: FileWatch;
  readonly #stopping = new AbortController();
  #certificates: Certificates;

  /** Throws a CertificateError if the files cannot be used. */
  constructor(options: TlsOptions, { clock, supervisor, emit }: ServerTlsParts) {
    this.#options = options;
    this.#clock = clock;
    this.#emit = emit;
    const { certPath, keyPath, clientCaPath } = options;
    const paths = [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
    const onChange = (contents: FileContents) => this.#reload(contents);
    this.#watch = new FileWatch({ paths, clock, supervisor, onChange });
    try {
      this.#certificates = loadCertificates(options, this.#watch.known, clock.now());
    } catch (error) {
      void this.#watch[Symbol.asyncDispose]();
      throw error;
    }
    this.#emitLoaded(false);
    const { signal } = this.#stopping;
    void supervisor.loop("certificate_expiry", signal, async (worked) => {
      this.#warnIfSoon();
      worked();
      await clock.sleep(WARN_EVERY_MS, signal);
    });
  }

  /** The options for a new server. */
  get serverOptions(): SecureServerOptions {
    const { clientCaPath, requireClientCert } = this.#options;
    return {
      ...this.#context(),
      requestCert: clientCaPath !== undefined,
      // If false, a client's certificate is checked after the handshake.
      rejectUnauthorized: requireClientCert,
    };
  }

  /**
   * Updates the server's certificate when the files change, and closes connections of clients whose certificate is rejected.
   */
  secure(server: Server): void {
    this.#servers.add(server);
    server.once("close", () => this.#servers.delete(server));
    server.on("tlsClientError", (error: NodeJS.ErrnoException) => {
      // A client that disconnects during the handshake was not rejected.
      if (error.code !== "ECONNRESET") this.#emitRejected(error.message);
    });
    server.prependListener("secureConnection", (socket: TLSSocket) => {
      const reason = this.#options.clientCaPath && findRejection(socket, this.#options);
      if (!reason) return;
      this.#emitRejected(reason);
      socket.destroy();
    });
  }

  /** Reads the files now, and emits the result. */
  checkNow(): void {
    this.#watch.checkNow();
  }

  #emitRejected(reason: string): void {
    this.#emit({ kind: "tls_client_refused", reason });
  }

  /** Returns all settings each time: a server drops the ones that a new context omits, cipher suites among them. */
  #context() {
    const { cert, key, ca } = this.#certificates;
    const { minVersion } = this.#options;
    const protocol = { minVersion: `TLSv${minVersion}`, ciphers: CIPHERS } as const;
    return { cert, key, ...(ca !== undefined && { ca }), ...protocol };
  }

  #reload(contents: FileContents): void {
    const before = this.#certificates;
    try {
      this.#certificates = loadCertificates(this.#options, contents, this.#clock.now());
      for (const server of this.#servers) server.setSecureContext(this.#context());
    } catch (error) {
      this.#certificates = before;
      this.#emit({ kind: "certificate_refused", reason: (error as Error).message });
      return;
    }
    this.#emitLoaded(!isDeepStrictEqual(before, this.#certificates));
    this.#warnIfSoon();
  }

  #emitLoaded(replaces: boolean): void {
    const { serial, expiresAt } = this.#certificates;
    this.#emit({ kind: "certificate_loaded", replaces, serial, expiresAt });
  }

  #warnIfSoon(): void {
    const { expiresAt } = this.#certificates;
    const leftMs = expiresAt - this.#clock.now();
    if (leftMs <= WARN_BEFORE_MS) this.#emit({ kind: "certificate_expires_soon", expiresAt, leftMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#watch[Symbol.asyncDispose]();
  }
}

/** Events of certificates. */
export type TlsEvent =
  | {
      /** Emitted at startup, and after each change of the files. */
      readonly kind: "certificate_loaded";
      /** False at startup. */
      readonly replaces: boolean;
      /** Hexadecimal. */
      readonly serial: string;
      /** Ms since the Unix epoch. */
      readonly expiresAt: number;
    }
  | { readonly kind: "certificate_refused"; readonly reason: string }
  | { readonly kind: "certificate_expires_soon"; readonly expiresAt: number; readonly leftMs: number }
  /** The handshake failed, or the client certificate was missing or rejected. */
  | ({ readonly kind: "tls_client_refused"; readonly reason: string } & Repeated);

export type EmitTlsEvent = (event: TlsEvent) => void;
