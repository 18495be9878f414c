import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RelayProcess } from "./relay-process.ts";

/** The three endpoints that require a key. */
export const specsOf = (
  relay: RelayProcess,
  sdkKey: string,
  version: "v1" | "v2" = "v2",
): Promise<Response> => fetch(`${relay.httpUrl}/${version}/download_config_specs/${sdkKey}.json`);

export const idListsOf = (relay: RelayProcess, sdkKey: string): Promise<Response> =>
  fetch(`${relay.httpUrl}/v1/get_id_lists`, {
    method: "POST",
    headers: { "statsig-api-key": sdkKey },
    body: "{}",
  });

export const sendEvents = (relay: RelayProcess, sdkKey: string): Promise<Response> =>
  fetch(`${relay.httpUrl}/v1/log_event`, {
    method: "POST",
    headers: { "statsig-api-key": sdkKey },
    body: JSON.stringify({ events: [{ eventName: "seen", time: 1_700_000_000_000 }] }),
  });

let unknownKeys = 0;

/** Returns a new unknown key with each call. */
export const createUnknownKey = (): string => `secret-unknown-${++unknownKeys}`;

/** Requests unknown keys until one is throttled, and returns that response. */
export async function exhaust(relay: RelayProcess): Promise<Response> {
  for (let times = 0; times < 10_000; times++) {
    const answer = await specsOf(relay, createUnknownKey());
    if (answer.status === 429) return answer;
  }
  throw new Error("unknown keys are admitted without a limit");
}

/** A key file that is replaced as a whole, the way an operator or Kubernetes does it. */
export class KeyFile implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "sfp-keys-"));
  readonly path: string;
  readonly #mounted: boolean;
  #versions = 0;

  /** `mounted`: the path leads through a symlink to a folder, and a change replaces the symlink. */
  constructor(keys: readonly string[], mounted = false) {
    this.#mounted = mounted;
    this.path = join(this.#folder, mounted ? "..data/keys" : "keys");
    this.write(keys.join("\n"));
  }

  write(text: string): void {
    const version = `version-${++this.#versions}`;
    const next = join(this.#folder, version);
    if (!this.#mounted) {
      writeFileSync(next, text);
      renameSync(next, this.path);
      return;
    }
    mkdirSync(next);
    writeFileSync(join(next, "keys"), text);
    symlinkSync(version, `${next}.link`);
    renameSync(`${next}.link`, join(this.#folder, "..data"));
  }

  remove(): void {
    rmSync(this.path);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}
