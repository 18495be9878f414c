import { KeyAdmission, KeyGate } from "../access/admission.ts";
import { AllowList, AllowListFile } from "../access/allow-list.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
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
export function startAccess(
  { access, maxKeys }: Config,
  { clock, supervisor, telemetry }: AccessParts,
): RunningAccess {
  const { emit } = telemetry.access;
  const { allowed, unknownKeysPerS } = access;
  const allowList = new AllowList(allowed?.keys);
  const admission = new KeyAdmission({ allowList, maxKeys, unknownKeysPerS, clock });
  const file = new AllowListFile(allowList, { clock, supervisor, emit });
  file.watch(allowed?.path);
  return {
    allowList,
    admission,
    gate: new KeyGate({ admission, clock, emit }),
    reconfigure({ access: next }) {
      admission.admitUnknown(next.unknownKeysPerS);
      if (next.allowed !== undefined) file.reload(next.allowed);
      else file.watch(undefined);
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}
