import type { Gated } from "./connection-gate.ts";
import type { HttpAnswers } from "./http-answers.ts";
import { errorResponse } from "./status-json.ts";

export interface HttpListenerOptions {
  readonly bindAddress: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly answers: HttpAnswers;
  readonly idleTimeoutMs: number;
}

/** HTTP/1.1 in plaintext: the fastest way there is. */
export class HttpListener implements Gated {
  readonly #options: HttpListenerOptions;
  readonly #paused = new Set<Bun.Server<undefined>>();
  readonly port: number;
  #server: Bun.Server<undefined>;

  /** Throws the system's error where the port can't be had. */
  constructor(options: HttpListenerOptions) {
    this.#options = options;
    this.#server = this.#serve(options.port);
    this.port = this.#server.port ?? 0;
  }

  pause(): void {
    const server = this.#server;
    this.#paused.add(server);
    void server.stop().finally(() => this.#paused.delete(server));
  }

  resume(): boolean {
    try {
      this.#server = this.#serve(this.port);
      return true;
    } catch {
      return false;
    }
  }

  /** Takes no more connections, ends streams, waits for requests in flight. */
  async close(): Promise<void> {
    this.#options.answers.endStreams();
    await Promise.all([this.#server, ...this.#paused].map((server) => server.stop()));
  }

  /** Ends what {@link close} still waits for. */
  async abort(): Promise<void> {
    await Promise.all([this.#server, ...this.#paused].map((server) => server.stop(true)));
  }

  #serve(port: number): Bun.Server<undefined> {
    const { bindAddress, answers, idleTimeoutMs } = this.#options;
    return Bun.serve({
      hostname: bindAddress,
      port,
      idleTimeout: idleTimeoutMs / 1_000,
      maxRequestBodySize: answers.maxBodyBytes,
      // Else Bun answers a fault of ours with a page that shows the code.
      development: false,
      // With `development: false` Bun would let two relays share a port unawares.
      reusePort: false,
      error: () => errorResponse(500),
      fetch: (request, server) => {
        // Bun takes whole seconds, up to 255.
        const limitTo = (ms: number) => server.timeout(request, Math.ceil(ms / 1_000));
        return answers.answer(request, { limitTo });
      },
    });
  }
}
