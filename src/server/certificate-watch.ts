import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../platform/clock.ts";
import { type FileContents, FileWatch } from "../platform/file-watch.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { type Certificates, loadCertificates, type TlsFiles } from "./certificates.ts";
import type { EmitTlsEvent } from "./tls-events.ts";

/** A certificate that expires within this time is warned of. */
const WARN_BEFORE_MS = 14 * 24 * 3_600_000;

const WARN_EVERY_MS = 24 * 3_600_000;

interface CertificateWatchParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitTlsEvent;
}

/**
 * The only reader of the certificate files, for all TLS ports of all threads. Files that cannot be used change nothing: the
 * certificates that were loaded before stay.
 */
export class CertificateWatch implements AsyncDisposable {
  readonly #files: TlsFiles;
  readonly #clock: Clock;
  readonly #emit: EmitTlsEvent;
  readonly #watch: FileWatch;
  readonly #stopping = new AbortController();
  readonly #listeners: ((certificates: Certificates) => void)[] = [];
  #current: Certificates;

  /** Throws a CertificateError if the files cannot be used. */
  constructor(files: TlsFiles, { clock, supervisor, emit }: CertificateWatchParts) {
    this.#files = files;
    this.#clock = clock;
    this.#emit = emit;
    const { certPath, keyPath, clientCaPath } = files;
    const paths = [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
    const onChange = (contents: FileContents) => this.#reload(contents);
    this.#watch = new FileWatch({ paths, clock, supervisor, onChange });
    try {
      this.#current = loadCertificates(files, this.#watch.known, clock.now());
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

  /** The newest certificates that can be used. */
  get current(): Certificates {
    return this.#current;
  }

  /** Calls the listener with every later version of the certificates, right before it becomes {@link current}. */
  onReplaced(listener: (certificates: Certificates) => void): void {
    this.#listeners.push(listener);
  }

  /** Reads the files now, and emits the result. */
  checkNow(): void {
    this.#watch.checkNow();
  }

  #reload(contents: FileContents): void {
    let next: Certificates;
    try {
      next = loadCertificates(this.#files, contents, this.#clock.now());
    } catch (error) {
      this.#emit({ kind: "certificate_refused", reason: (error as Error).message });
      return;
    }
    const replaces = !isDeepStrictEqual(this.#current, next);
    // If a listener throws, the next round of the file watch must find the difference again, and call all listeners.
    if (replaces) for (const listener of this.#listeners) listener(next);
    this.#current = next;
    this.#emitLoaded(replaces);
    this.#warnIfSoon();
  }

  #emitLoaded(replaces: boolean): void {
    const { serial, expiresAt } = this.#current;
    this.#emit({ kind: "certificate_loaded", replaces, serial, expiresAt });
  }

  #warnIfSoon(): void {
    const { expiresAt } = this.#current;
    const leftMs = expiresAt - this.#clock.now();
    if (leftMs <= WARN_BEFORE_MS) this.#emit({ kind: "certificate_expires_soon", expiresAt, leftMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#watch[Symbol.asyncDispose]();
  }
}
