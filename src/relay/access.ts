import { KeyAdmission, KeyGate } from "../access/admission.ts";
import { AllowList } from "../access/allow-list.ts";
import { parseSdkKeyList, type SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import { describeUnreadable, type FileContents, FileWatch } from "../platform/file-watch.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";

export interface RunningAccess extends AsyncDisposable {
  readonly allowList: AllowList;
  readonly admission: KeyAdmission;
  readonly gate: KeyGate;
  /** Applies a new allow list and a new rate of unknown keys. */
  reconfigure(config: Config): void;
}

interface AccessParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "access">;
}

/** Must be started before every part that stores data of SDK keys: a key that is not allowed must not be stored. */
export function startAccess({ access, maxKeys }: Config, parts: AccessParts): RunningAccess {
  const { clock, telemetry } = parts;
  const { allowed, unknownKeysPerS } = access;
  const allowList = new AllowList(allowed?.keys);
  const admission = new KeyAdmission({ allowList, maxKeys, unknownKeysPerS, clock });
  const watching = new WatchedList(allowList, parts);
  watching.follow(allowed?.path);
  return {
    allowList,
    admission,
    gate: new KeyGate({ admission, clock, emit: telemetry.access.emit }),
    reconfigure({ access: next }) {
      admission.admitUnknown(next.unknownKeysPerS);
      if (next.allowed !== undefined) watching.replace(next.allowed);
      else watching.follow(undefined);
    },
    [Symbol.asyncDispose]: () => watching[Symbol.asyncDispose](),
  };
}

/** Keeps the allow list equal to a file. A reload can change the file, or remove it. */
class WatchedList implements AsyncDisposable {
  readonly #allowList: AllowList;
  readonly #parts: AccessParts;
  #watch: { readonly path: string; readonly file: FileWatch } | undefined;
  #isRefused = false;

  constructor(allowList: AllowList, parts: AccessParts) {
    this.#allowList = allowList;
    this.#parts = parts;
  }

  /** Applies the list of a reloaded configuration at once, so that it matches the preloaded keys of the same reload. */
  replace({ keys, path }: { readonly keys: readonly SdkKey[]; readonly path: string | undefined }): void {
    if (path === undefined) this.#allowList.replace(keys);
    else this.#accept(keys);
    this.follow(path);
  }

  /** Watches another file, or none if `path` is undefined. */
  follow(path: string | undefined): void {
    if (path === this.#watch?.path) return;
    void this.#watch?.file[Symbol.asyncDispose]();
    const { clock, supervisor } = this.#parts;
    const onChange = (contents: FileContents) => path !== undefined && this.#read(contents.get(path), path);
    this.#watch =
      path === undefined
        ? undefined
        : { path, file: new FileWatch({ paths: [path], clock, supervisor, onChange }) };
  }

  #read(content: Buffer | undefined, path: string): void {
    try {
      const keys = parseList(content, path);
      // A reload may have applied the file already.
      if (this.#isRefused || !this.#allowList.consistsOf(keys)) this.#accept(keys);
    } catch (error) {
      if (!(error instanceof UnusableList)) throw error;
      this.#isRefused = true;
      this.#parts.telemetry.access.emit({ kind: "allowed_keys_refused", detail: error.message });
    }
  }

  #accept(keys: readonly SdkKey[]): void {
    this.#isRefused = false;
    const removed = this.#allowList.replace(keys);
    this.#parts.telemetry.access.emit({ kind: "allowed_keys_reloaded", keys: keys.length, removed });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.file[Symbol.asyncDispose]();
  }
}

class UnusableList extends Error {}

function parseList(content: Buffer | undefined, path: string): readonly SdkKey[] {
  if (content === undefined) throw new UnusableList(describeUnreadable(path));
  return parseSdkKeyList(content.toString(), (problem) => {
    throw new UnusableList(problem);
  });
}
