import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { exitOf } from "../common/exit-of.ts";
import { Output } from "../common/output.ts";
import { within } from "../common/wait.ts";

const file = fileURLToPath(new URL("stream-holder-process.ts", import.meta.url));

export interface StreamHolderOptions {
  readonly url: string;
  readonly sdkKey: string;
  readonly streams: number;
  /** For TLS. */
  readonly caPath?: string | undefined;
}

/** A gRPC client in a separate process, which keeps streams open and can be made to hang. */
export class StreamHolder implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start({ url, sdkKey, streams, caPath }: StreamHolderOptions): Promise<StreamHolder> {
    const args = [file, url, sdkKey, String(streams), ...(caPath === undefined ? [] : [caPath])];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    const output = new Output(child.stdout, child.stderr);
    const open = output.until((text) => (text.includes("open") ? true : undefined));
    try {
      await within(open, 25_000, "streams to be open");
    } catch (error) {
      child.kill("SIGKILL");
      throw new Error(`${String(error)}\n${output.text}`);
    }
    return new StreamHolder(child);
  }

  /** Its sockets stay open and its kernel continues to acknowledge, but it neither reads nor writes. */
  hang(): void {
    this.#child.kill("SIGSTOP");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await exitOf(this.#child);
  }
}
