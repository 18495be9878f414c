import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import { FileWatch } from "./file-watch.ts";
import { parseSdkKeyList } from "./sdk-key-list.ts";
import type { EmitAccessEvent } from "./specs/access-events.ts";
import { AllowList } from "./specs/allow-list.ts";
import { KeyAdmission } from "./specs/key-admission.ts";
import { KeyGate } from "./specs/key-gate.ts";
import { whyUnreadable } from "./unreadable.ts";

/** Who may ask. */
export interface RunningAccess extends AsyncDisposable {
  readonly allowList: AllowList;
  readonly admission: KeyAdmission;
  readonly gate: KeyGate;
}

export interface AccessParts {
  readonly clock: Clock;
  readonly emit: EmitAccessEvent;
}

/** Started before all that holds something of a key: what the list lacks at any moment is not to be held. */
export function startAccess({ access, maxKeys }: Config, { clock, emit }: AccessParts): RunningAccess {
  const running = new AsyncDisposableStack();
  const { allowed, unknownKeysPerS } = access;
  const allowList = new AllowList(allowed?.keys);
  const admission = new KeyAdmission({ allowList, maxKeys, unknownKeysPerS, clock });
  if (allowed?.path !== undefined) running.use(watchList(allowed.path, allowList, { clock, emit }));
  return {
    allowList,
    admission,
    gate: new KeyGate({ admission, clock, emit }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function watchList(path: string, allowList: AllowList, { clock, emit }: AccessParts): FileWatch {
  return new FileWatch({
    paths: [path],
    clock,
    onChange: (contents) => emit(takeOver(contents.get(path), path, allowList)),
  });
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
