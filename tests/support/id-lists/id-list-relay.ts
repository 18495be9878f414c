import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../../src/config/config.ts";
import type { Cache } from "../../../src/config/option.ts";
import { MISSING_FILE_ID } from "../../../src/id-lists/manifest.ts";
import { type Relay, startRelay } from "../../../src/relay/relay.ts";
import type { LogFields, LogLevel } from "../../../src/telemetry/logging/logger.ts";
import { eventually } from "../common/wait.ts";
import { WakingClock } from "../common/waking-clock.ts";
import { IdListUpstream } from "./id-list-upstream.ts";

export interface IdListRelayOptions {
  readonly values?: Readonly<Record<string, string>>;
  readonly cache?: Cache;
  readonly env?: Readonly<Record<string, string>>;
  /** An existing folder, which is not deleted. */
  readonly folder?: string;
  readonly upstream?: IdListUpstream;
}

/** A relay in this process, whose polls of ID lists a test can trigger. */
export class IdListRelay implements AsyncDisposable {
  readonly upstream: IdListUpstream;
  readonly clock: WakingClock;
  readonly folder: string;
  readonly url: string;
  readonly log: readonly string[];
  readonly #owned: AsyncDisposableStack;

  private constructor(
    parts: Pick<IdListRelay, "upstream" | "clock" | "folder" | "url" | "log">,
    owned: AsyncDisposableStack,
  ) {
    this.upstream = parts.upstream;
    this.clock = parts.clock;
    this.folder = parts.folder;
    this.url = parts.url;
    this.log = parts.log;
    this.#owned = owned;
  }

  static async start(options: IdListRelayOptions = {}): Promise<IdListRelay> {
    await using owned = new AsyncDisposableStack();
    const upstream = options.upstream ?? owned.use(new IdListUpstream());
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "sfp-id-lists-")));
    if (options.folder === undefined) owned.defer(() => rm(folder, { recursive: true, force: true }));
    const values = {
      "http-port": "0",
      "management-port": "0",
      "bind-address": "127.0.0.1",
      "local-cache-path": folder,
      ...options.values,
    };
    const config = readConfig(
      { mode: "http", cache: options.cache ?? "disabled", values: new Map(Object.entries(values)) },
      { STATSIG_ENDPOINT: upstream.url, ...options.env },
    );
    const clock = new WakingClock();
    const log: string[] = [];
    const logger = {
      log: (level: LogLevel, message: string, fields: LogFields = {}) =>
        void log.push(`${level} ${message} ${JSON.stringify(fields)}`),
    };
    const relay: Relay = owned.use(await startRelay(config, { logger, clock }));
    const url = `http://127.0.0.1:${relay.listeners[0]?.port}`;
    return new IdListRelay({ upstream, clock, folder, url, log }, owned.move());
  }

  /** Advances the clock to the next poll of every key, and waits until upstream got the requests. */
  async poll(): Promise<void> {
    const before = this.upstream.manifestsAsked();
    const polls = await eventually(() => {
      // The interval is longer than a minute, because a random part is added.
      const woken = this.clock.wake(60_000.001, 66_000);
      // Upstream has the request of the poll before, and the relay may not have its response yet.
      if (woken === 0) throw new Error("no key waits for its next poll");
      return woken;
    });
    await eventually(() => {
      if (this.upstream.manifestsAsked() < before + polls) throw new Error("upstream was not asked");
    });
  }

  async manifest(sdkKey: string, headers: Readonly<Record<string, string>> = {}): Promise<Manifest> {
    const answer = await fetch(`${this.url}/v1/get_id_lists`, {
      method: "POST",
      headers: { "statsig-api-key": sdkKey, ...headers },
      body: "{}",
    });
    if (answer.status !== 200) throw new Error(`the manifest: ${answer.status}`);
    return (await answer.json()) as Manifest;
  }

  /** Returns the names of the lists whose files the relay has. Its manifest names the others as well. */
  async onDisk(sdkKey: string): Promise<readonly string[]> {
    const entries = Object.entries(await this.manifest(sdkKey));
    return entries.filter(([, { fileID }]) => fileID !== MISSING_FILE_ID).map(([name]) => name);
  }

  /** Returns the reasons why the relay is not ready; empty if it is. */
  async notReady(): Promise<string> {
    const answer = await fetch(`${this.url}/v1/ready`);
    const { reason = "" } = (await answer.json()) as { reason?: string };
    return answer.status === 200 ? "" : reason;
  }

  /** Returns the text of a list file by the manifest's URL, up to the length in the manifest. */
  async text(sdkKey: string, name: string): Promise<string | undefined> {
    const entry = (await this.manifest(sdkKey))[name];
    if (entry === undefined) return undefined;
    const answer = await fetch(entry.url);
    const text = await answer.text();
    if (answer.status !== 200 || text.length !== entry.size)
      throw new Error(`${answer.status}: ${text.length}`);
    return text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

type Manifest = Readonly<
  Record<string, { name: string; url: string; fileID: string; size: number; creationTime: number }>
>;
