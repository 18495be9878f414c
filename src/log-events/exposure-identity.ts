import { fieldsOf } from "./read-batch.ts";

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
    metadata["ruleID"],
    // A user that is no object identifies as it is; of an object these fields do.
    user === undefined ? fields["user"] : [user["userID"], sorted(user["customIDs"])],
    own ?? batchStableId,
    Math.floor(time / MINUTE_MS),
  ];
  return exactText(identity);
}

function exposed(name: unknown, metadata: Readonly<Record<string, unknown>>): readonly unknown[] | undefined {
  switch (name) {
    case "statsig::gate_exposure":
      return ["gate", metadata["gate"], metadata["gateValue"]];
    case "statsig::config_exposure":
      return ["config", metadata["config"]];
    default:
      return undefined;
  }
}

/** In whatever order an SDK names them. */
function sorted(customIds: unknown): unknown {
  const fields = fieldsOf(customIds);
  if (fields === undefined) return customIds;
  return [{}, ...Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))];
}

/** Numbers that parsing may have rounded make the identity unsure. What is missing is told from null. */
function exactText(identity: readonly unknown[]): string | undefined {
  let exact = true;
  const text = JSON.stringify(identity, (_, value: unknown) => {
    if (typeof value === "number" && !Number.isSafeInteger(value)) exact = false;
    return value === undefined ? { missing: [] } : value;
  });
  return exact && !text.includes(REPLACEMENT) ? text : undefined;
}
