import type { SecureServerOptions } from "node:http2";
import type { Server, TLSSocket } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../platform/clock.ts";
import { type FileContents, FileWatch } from "../platform/file-watch.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { type Certificates, loadCertificates, refusalOf, type TlsOptions } from "./certificates.ts";

/** From so long before its end on, a certificate is warned of. */
const WARN_BEFORE_MS = 14 * 24 * 3_600_000;

const WARN_EVERY_MS = 24 * 3_600_000;

/**
 * Of TLS 1.2 only what has forward secrecy and authenticated encryption (RFC 9325, 4.2): by itself the library also
 * takes CBC, and RSA key exchange, by which whoever gets the private key can read what was recorded before. Those of
 * TLS 1.3 are always on.
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

/** The certificates of every port with TLS; new ones are taken over while connections go on. */
export class ServerTls implements AsyncDisposable {
  readonly #options: TlsOptions;
  readonly #clock: Clock;
  readonly #emit: EmitTlsEvent;
  readonly #servers = new Set<Server>();
  readonly #watch: FileWatch;
  readonly #stopping = new AbortController();
  #material: Certificates;

  /** Throws a TlsMaterialError where the files can't be used. */
  constructor(options: TlsOptions, { clock, supervisor, emit }: ServerTlsParts) {
    this.#options = options;
    this.#clock = clock;
    this.#emit = emit;
    const { certPath, keyPath, clientCaPath } = options;
    const paths = [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
    const onChange = (contents: FileContents) => this.#reload(contents);
    this.#watch = new FileWatch({ paths, clock, supervisor, onChange });
    try {
      this.#material = loadCertificates(options, this.#watch.known, clock.now());
    } catch (error) {
      void this.#watch[Symbol.asyncDispose]();
      throw error;
    }
    this.#tellLoaded(false);
    const { signal } = this.#stopping;
    void supervisor.loop("certificate_expiry", signal, async (worked) => {
      this.#warnIfSoon();
      worked();
      await clock.sleep(WARN_EVERY_MS, signal);
    });
  }

  /** For a new server. */
  get serverOptions(): SecureServerOptions {
    const { clientCaPath, requireClientCert } = this.#options;
    return {
      ...this.#context(),
      requestCert: clientCaPath !== undefined,
      // Without it, a certificate that is given is looked at after the handshake.
      rejectUnauthorized: requireClientCert,
    };
  }

  /** Keeps the server's certificate up to date, and ends connections of clients that may not be served. */
  guard(server: Server): void {
    this.#servers.add(server);
    server.once("close", () => this.#servers.delete(server));
    server.on("tlsClientError", (error: NodeJS.ErrnoException) => {
      // A client that goes in the midst of a handshake is none that was refused.
      if (error.code !== "ECONNRESET") this.#refused(error.message);
    });
    server.prependListener("secureConnection", (socket: TLSSocket) => {
      const reason = this.#options.clientCaPath && refusalOf(socket, this.#options);
      if (!reason) return;
      this.#refused(reason);
      socket.destroy();
    });
  }

  /** Reads the files at once, and tells what came of it. */
  checkNow(): void {
    this.#watch.checkNow();
  }

  #refused(reason: string): void {
    this.#emit({ kind: "tls_client_refused", reason });
  }

  /** All of it each time: a server forgets what a new context does not say, the cipher suites among it. */
  #context() {
    const { cert, key, ca } = this.#material;
    const { minVersion } = this.#options;
    const protocol = { minVersion: `TLSv${minVersion}`, ciphers: CIPHERS } as const;
    return { cert, key, ...(ca !== undefined && { ca }), ...protocol };
  }

  #reload(contents: FileContents): void {
    const before = this.#material;
    try {
      this.#material = loadCertificates(this.#options, contents, this.#clock.now());
      for (const server of this.#servers) server.setSecureContext(this.#context());
    } catch (error) {
      this.#material = before;
      this.#emit({ kind: "certificate_refused", reason: (error as Error).message });
      return;
    }
    this.#tellLoaded(!isDeepStrictEqual(before, this.#material));
    this.#warnIfSoon();
  }

  #tellLoaded(replaces: boolean): void {
    const { serial, expiresAt } = this.#material;
    this.#emit({ kind: "certificate_loaded", replaces, serial, expiresAt });
  }

  #warnIfSoon(): void {
    const { expiresAt } = this.#material;
    const leftMs = expiresAt - this.#clock.now();
    if (leftMs <= WARN_BEFORE_MS) this.#emit({ kind: "certificate_expires_soon", expiresAt, leftMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#watch[Symbol.asyncDispose]();
  }
}

/** What happens to certificates. */
export type TlsEvent =
  | {
      /** At the start, and each time that the files changed. */
      readonly kind: "certificate_loaded";
      /** False at the start. */
      readonly replaces: boolean;
      /** Hexadecimal. */
      readonly serial: string;
      /** Ms since the Unix epoch. */
      readonly expiresAt: number;
    }
  | { readonly kind: "certificate_refused"; readonly reason: string }
  | { readonly kind: "certificate_expires_soon"; readonly expiresAt: number; readonly leftMs: number }
  /** No common version or cipher; or its certificate was not good enough, or it had none. */
  | { readonly kind: "tls_client_refused"; readonly reason: string };

export type EmitTlsEvent = (event: TlsEvent) => void;
