import type { Supervisor } from "../../platform/supervisor.ts";
import type { CloudAgentOptions, ExportHealth } from "./agent.ts";
import type { CloudProfilerSource } from "./events.ts";

interface CloudProfilerOptions extends Omit<CloudAgentOptions, "health" | "source"> {
  readonly supervisor: Supervisor;
  /** Called when the agent is turned on. What it returns is disposed of when it is turned off. */
  readonly openHealth: () => ExportHealth & Disposable;
}

/** Turns the agent of Google Cloud Profiler on and off while the relay runs. Its code is loaded when it is first turned on. */
export class CloudProfiler implements AsyncDisposable {
  readonly #options: CloudProfilerOptions;
  readonly #on = new Set<CloudProfilerSource>();
  #running: AbortController | undefined;
  /** Settles when the last agent has ended, so that there are never two. */
  #ended: Promise<void> = Promise.resolve();

  constructor(options: CloudProfilerOptions) {
    this.#options = options;
  }

  /** Who keeps it on: the flag, if both do. Undefined while it is off. */
  get state(): CloudProfilerSource | undefined {
    return this.#on.has("flag") ? "flag" : [...this.#on][0];
  }

  /** It is on while any source wants it. Turning it off cancels what it waits for, and a profile that is being taken. */
  setEnabled(source: CloudProfilerSource, on: boolean): void {
    const before = this.state;
    if (on) this.#on.add(source);
    else this.#on.delete(source);
    const { state } = this;
    if (before === undefined && state !== undefined) this.#start(state);
    if (before !== undefined && state === undefined) {
      this.#stop();
      this.#options.emit({ kind: "cloud_profiler_stopped" });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await this.#ended;
  }

  #start(source: CloudProfilerSource): void {
    const { supervisor, openHealth, ...parts } = this.#options;
    const running = new AbortController();
    this.#running = running;
    const before = this.#ended;
    const run = async () => {
      await before;
      if (running.signal.aborted) return;
      using health = openHealth();
      const { CloudAgent } = await import("./agent.ts");
      const agent = new CloudAgent({ ...parts, health, source });
      await supervisor.loop("cloud_profiler", running.signal, () => agent.round(running.signal));
    };
    this.#ended = supervisor.task("cloud_profiler", run);
  }

  #stop(): void {
    this.#running?.abort();
    this.#running = undefined;
  }
}
