import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import { FileWatch } from "./file-watch.ts";
import { parseSdkKeyList } from "./sdk-key-list.ts";
import type { EmitAccessEvent } from "./specs/access-events.ts";
import { AllowList } from "./specs/allow-list.ts";
import { KeyAdmission } from "./specs/key-admission.ts";
import { KeyGate } from "./specs/key-gate.ts";
import type { Supervisor } from "./supervision/supervisor.ts";
import { whyUnreadable } from "./unreadable.ts";

/** Who may ask. */
export interface RunningAccess extends AsyncDisposable {
  readonly allowList: AllowList;
  readonly admission: KeyAdmission;
  readonly gate: KeyGate;
  /** Takes over another list of keys, where there is one, and another rate of unknown ones. */
  reconfigure(config: Config): void;
}

export interface AccessParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitAccessEvent;
}

/** Started before all that holds something of a key: what the list lacks at any moment is not to be held. */
export function startAccess({ access, maxKeys }: Config, parts: AccessParts): RunningAccess {
  const { clock, emit } = parts;
  const { allowed, unknownKeysPerS } = access;
  const allowList = new AllowList(allowed?.keys);
  const admission = new KeyAdmission({ allowList, maxKeys, unknownKeysPerS, clock });
  const watching = new WatchedList(allowList, parts);
  watching.follow(allowed?.path);
  return {
    allowList,
    admission,
    gate: new KeyGate({ admission, clock, emit }),
    reconfigure({ access: next }) {
      admission.admitUnknown(next.unknownKeysPerS);
      if (next.allowed !== undefined && !watching.isAt(next.allowed.path))
        allowList.replace(next.allowed.keys);
      watching.follow(next.allowed?.path);
    },
    [Symbol.asyncDispose]: () => watching[Symbol.asyncDispose](),
  };
}

/** The file that the list stands in, which may be another one later, or none. */
class WatchedList implements AsyncDisposable {
  readonly #allowList: AllowList;
  readonly #parts: AccessParts;
  #watch: { readonly path: string; readonly file: FileWatch } | undefined;

  constructor(allowList: AllowList, parts: AccessParts) {
    this.#allowList = allowList;
    this.#parts = parts;
  }

  isAt(path: string | undefined): boolean {
    return path !== undefined && this.#watch?.path === path;
  }

  /** Undefined: no file. The one that it is at already is looked at once more. */
  follow(path: string | undefined): void {
    if (this.isAt(path)) {
      this.#watch?.file.lookNow();
      return;
    }
    void this.#watch?.file[Symbol.asyncDispose]();
    const { clock, supervisor, emit } = this.#parts;
    this.#watch =
      path === undefined
        ? undefined
        : {
            path,
            file: new FileWatch({
              paths: [path],
              clock,
              supervisor,
              onChange: (contents) => emit(takeOver(contents.get(path), path, this.#allowList)),
            }),
          };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.file[Symbol.asyncDispose]();
  }
}

class UnusableList extends Error {}

function takeOver(content: Buffer | undefined, path: string, allowList: AllowList) {
  try {
    if (content === undefined) throw new UnusableList(whyUnreadable(path));
    const keys = parseSdkKeyList(content.toString(), (problem) => {
      throw new UnusableList(problem);
    });
    const removed = allowList.replace(keys);
    return { kind: "allowed_keys_reloaded", keys: keys.length, removed } as const;
  } catch (error) {
    if (!(error instanceof UnusableList)) throw error;
    return { kind: "allowed_keys_refused", detail: error.message } as const;
  }
}
