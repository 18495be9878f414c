/** What an exposure shares with its batch. */
export interface ExposureContext {
  readonly sdkKey: string;
  /** `stableID` of the batch's statsigMetadata, for events that name none. */
  readonly batchStableId: unknown;
}

const MINUTE_MS = 60_000;

/** Stands in decoded text for bytes that were no UTF-8: two texts that hold it may have been different. */
const REPLACEMENT = "\uFFFD";

/**
 * A text that two exposures share only where the one repeats the other (WIRE 5); undefined for what is no
 * exposure. Where it can't be told for sure, it is undefined too: an event too many does less harm than
 * one too few.
 */
export function exposureIdentity(event: unknown, { sdkKey, batchStableId }: ExposureContext) {
  const fields = fieldsOf(event);
  const metadata = fieldsOf(fields?.["metadata"]);
  if (fields === undefined || metadata === undefined) return undefined;
  const what = exposed(fields["eventName"], metadata);
  const time = fields["time"];
  if (what === undefined || typeof time !== "number" || !Number.isSafeInteger(Math.trunc(time))) {
    return undefined;
  }
  const user = fieldsOf(fields["user"]);
  const own = fieldsOf(fields["statsigMetadata"])?.["stableID"];
  const identity = [
    sdkKey,
    ...what,
    known(metadata["ruleID"]),
    // A user that is no object identifies as it is; of an object these fields do.
    user === undefined ? known(fields["user"]) : [known(user["userID"]), sorted(user["customIDs"])],
    known(own ?? batchStableId),
    Math.floor(time / MINUTE_MS),
  ];
  return exactText(identity);
}

function exposed(name: unknown, metadata: Readonly<Record<string, unknown>>): readonly unknown[] | undefined {
  switch (name) {
    case "statsig::gate_exposure":
      return ["gate", known(metadata["gate"]), known(metadata["gateValue"])];
    case "statsig::config_exposure":
      return ["config", known(metadata["config"])];
    default:
      return undefined;
  }
}

/** In whatever order an SDK names them. */
function sorted(customIds: unknown): unknown {
  const fields = fieldsOf(customIds);
  if (fields === undefined) return known(customIds);
  return [{}, ...Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))];
}

/** Deeper than anything that an SDK sends. To put into text what a client nested without end takes the square of its depth. */
const MAX_LEVELS = 16;

/** What is missing is told from null, as which it would come out in JSON. */
const MISSING = { missing: [] } as const;
const known = (value: unknown): unknown => (value === undefined ? MISSING : value);

function exactText(identity: readonly unknown[]): string | undefined {
  if (!isExact(identity, MAX_LEVELS)) return undefined;
  const text = JSON.stringify(identity);
  return text.includes(REPLACEMENT) ? undefined : text;
}

/** Numbers that parsing may have rounded make the identity unsure. */
function isExact(value: unknown, levels: number): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "object" || value === null) return true;
  if (levels === 0) return false;
  if (Array.isArray(value)) return value.every((each) => isExact(each, levels - 1));
  return Object.values(value).every((each) => isExact(each, levels - 1));
}

/** The fields of a JSON object; undefined if the value is something else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}
