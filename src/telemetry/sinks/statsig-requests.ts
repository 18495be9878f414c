/**
 * The SDK's way to the network. It is always told that all went well: else it would try again for long, keep in memory
 * what we have given up, and report the failure to another address of Statsig. How it went is for us to ask.
 */
export class StatsigRequests {
  #signal: AbortSignal = AbortSignal.abort();
  #problem: string | undefined;

  /** From now on requests end with `signal`, and problems are new ones. */
  begin(signal: AbortSignal): void {
    this.#signal = signal;
    this.#problem = undefined;
  }

  /** Throws what went wrong since then, for people. */
  check(): void {
    if (this.#problem !== undefined) throw new Error(this.#problem);
  }

  readonly fetch = async (url: string, request: RequestInit): Promise<Response> => {
    this.#problem ??= await this.#send(url, request);
    return new Response(null, { status: 202 });
  };

  async #send(url: string, request: RequestInit): Promise<string | undefined> {
    const signal = this.#signal;
    try {
      // The way to another host is not ours to take: a header holds the SDK key.
      const response = await fetch(url, { ...request, signal, redirect: "manual" });
      await response.body?.cancel();
      return response.ok ? undefined : `Statsig answered ${response.status}`;
    } catch (error) {
      if (signal.aborted) return "Statsig did not answer in time";
      const { code, name } = error as NodeJS.ErrnoException;
      return `Statsig can't be reached: ${code ?? name}`;
    }
  }
}
