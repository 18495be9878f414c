import { renameSync } from "node:fs";
import { stringify } from "yaml";
import { eventually } from "../common/wait.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { ConfigFiles } from "./config-files.ts";
import { type RelayProcess, startRelayProcess } from "./relay-process.ts";

export type FileSettings = Readonly<Record<string, unknown>>;

const EVERYWHERE: FileSettings = {
  mode: "grpc-and-http",
  cache: "disabled",
  "bind-address": "127.0.0.1",
  "http-port": 0,
  "grpc-port": 0,
};

/** Every reload logs one of these lines, whether it succeeds or fails. */
const OUTCOME = /configuration reloaded|configuration reload failed|certificates and SDK key files reloaded/g;

/** A relay with a configuration file that changes while it runs. */
export class ReloadedRelay implements AsyncDisposable {
  readonly relay: RelayProcess;
  readonly path: string;
  readonly #files: ConfigFiles;

  constructor(relay: RelayProcess, files: ConfigFiles, path: string) {
    this.relay = relay;
    this.#files = files;
    this.path = path;
  }

  /** Sends a SIGHUP, and returns all lines up to the one with the outcome, with `FILE` for the path. */
  async hangUp(): Promise<string> {
    const before = this.relay.output();
    const outcomes = before.match(OUTCOME)?.length ?? 0;
    this.relay.signal("SIGHUP");
    await eventually(
      () => {
        if ((this.relay.output().match(OUTCOME)?.length ?? 0) === outcomes)
          throw new Error("no outcome was logged");
      },
      { withinMs: 15_000 },
    );
    // Lines that follow the outcome are written together with it.
    await Bun.sleep(20);
    return this.relay.output().slice(before.length).replaceAll(this.path, "FILE");
  }

  /** Replaces the contents of the file, and reloads it. */
  reload(settings: FileSettings): Promise<string> {
    return this.reloadText(stringify({ ...EVERYWHERE, ...settings }));
  }

  reloadText(text: string): Promise<string> {
    renameSync(this.#files.write(text), this.path);
    return this.hangUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.relay[Symbol.asyncDispose]();
    this.#files[Symbol.dispose]();
  }
}

export async function startReloadedRelay(
  upstream: Upstream,
  settings: FileSettings = {},
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<ReloadedRelay> {
  const files = new ConfigFiles();
  try {
    const path = files.write(stringify({ ...EVERYWHERE, ...settings }));
    const relay = await startRelayProcess({
      ...{ upstream, env, isBare: true },
      args: ["--config", path, ...args],
    });
    return new ReloadedRelay(relay, files, path);
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}
