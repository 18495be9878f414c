import { freePort } from "../common/free-port.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../relay/relay-process.ts";
import { STORY_TOKEN } from "./story.ts";

/** A relay of a story, which has a management port and the token. It can be restarted on the same ports. */
export class StoryRelay implements AsyncDisposable {
  readonly #options: RelayOptions;
  #relay: RelayProcess;

  private constructor(options: RelayOptions, relay: RelayProcess) {
    this.#options = options;
    this.#relay = relay;
  }

  /** With `isBare`, the arguments or the file that they name set the ports. */
  static async start(options: RelayOptions): Promise<StoryRelay> {
    const port = options.isBare ? {} : { SFP_MANAGEMENT_PORT: String(await freePort()) };
    const env = { ...port, SFP_MANAGEMENT_TOKEN: STORY_TOKEN, ...options.env };
    const managed = { ...options, env, httpPort: await freePort() };
    return new StoryRelay(managed, await startRelayProcess(managed));
  }

  get process(): RelayProcess {
    return this.#relay;
  }

  /** The addresses of the text, and those of this relay. */
  get places(): Readonly<Record<string, string>> {
    const host = (url: string) => new URL(url).host;
    return {
      "localhost:8001": host(this.#relay.urlOf("management")),
      "localhost:8000": host(this.#relay.httpUrl),
    };
  }

  /** Ends the process as `signal` does, and starts another one on the same ports. */
  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#relay.stop(signal);
    this.#relay = await startRelayProcess(this.#options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#relay[Symbol.asyncDispose]();
  }
}
