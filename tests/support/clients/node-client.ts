import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { within } from "../common/wait.ts";

/** The body of a request. `none` ends the request with its headers. */
export type SentBody = "none" | SentChunks;

export interface SentChunks {
  /** Chunks in base64, written one by one; a number is a pause in ms. */
  readonly chunks: readonly (string | number)[];
  /** Written after the chunks. */
  readonly repeat?: { readonly byte: number; readonly bytes: number };
  readonly trailers?: Readonly<Record<string, string>>;
  /** The body never ends. */
  readonly isEndless?: boolean;
  /** Over HTTP/1.1: false if a header has the length. */
  readonly chunked?: boolean;
}

export interface NodeRequest {
  readonly protocol: "http1" | "h2";
  readonly url: string;
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: SentBody;
  /** The response body is not read before this. */
  readonly readDelayMs?: number;
  /** Called when the response headers have arrived. */
  readonly onResponse?: () => void;
}

export interface NodeResponse {
  /** 0 if there was no response. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly bytes: number;
  /** The beginning of the body. */
  readonly text: string;
  readonly error: string | null;
}

const childFile = fileURLToPath(new URL("node-client-child.mjs", import.meta.url));

/** Node's own HTTP clients, over HTTP/1.1 and HTTP/2, in a separate process. */
export class NodeClient implements Disposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, { onResponse?: () => void; onEnd: (answer: NodeResponse) => void }>();
  #asked = 0;

  constructor() {
    this.#child = spawn("node", [childFile], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdin.on("error", () => undefined);
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const { id, answer } = JSON.parse(line) as { id: number; answer?: NodeResponse };
      if (answer === undefined) {
        this.#waiting.get(id)?.onResponse?.();
        return;
      }
      this.#waiting.get(id)?.onEnd(answer);
      this.#waiting.delete(id);
    });
  }

  ask({ onResponse, ...request }: NodeRequest, timeoutMs = 10_000): Promise<NodeResponse> {
    const id = ++this.#asked;
    const answered = new Promise<NodeResponse>((onEnd) =>
      this.#waiting.set(id, { onEnd, ...(onResponse && { onResponse }) }),
    );
    this.#child.stdin.write(`${JSON.stringify({ body: "none", ...request, id })}\n`);
    return within(answered, timeoutMs, `an answer to ${request.method} ${request.url}`);
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

export const chunks = (...texts: readonly (string | Uint8Array | number)[]): SentChunks => ({
  chunks: texts.map((text) => (typeof text === "number" ? text : Buffer.from(text).toString("base64"))),
});
