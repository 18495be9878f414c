import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RelayProcess } from "./relay-process.ts";

/** The three endpoints that take a key. */
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

/** Returns another unknown key each time. */
export const unknownKey = (): string => `secret-unknown-${++unknownKeys}`;

/** Requests unknown keys until one of them is rejected. Resolves with that response. */
export async function exhaust(relay: RelayProcess): Promise<Response> {
  for (let times = 0; times < 10_000; times++) {
    const answer = await specsOf(relay, unknownKey());
    if (answer.status === 429) return answer;
  }
  throw new Error("every unknown key was admitted");
}

/** A file of keys that is replaced as a whole, as an operator or Kubernetes does. */
export class KeyFile implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "sfp-keys-"));
  readonly path: string;
  readonly #mounted: boolean;
  #versions = 0;

  /** `mounted`: the file is behind a symlink to a folder, which is switched with each change. */
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
