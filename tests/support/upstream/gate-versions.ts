import { djb2, specV1, specV2 } from "./payloads.ts";
import { specProto } from "./proto-payload.ts";
import { FIRST_LCUT } from "./published-key.ts";
import type { Upstream } from "./upstream.ts";

/** Returns the lcut of the version with this number: each is a minute newer than the one before. */
export const lcutOf = (number: number): number => FIRST_LCUT + number * 60_000;

export interface GateVersion {
  readonly number: number;
  /** The value of `gate_public`, for all users. */
  readonly gateValue: boolean;
  /** The color of the config. A large one that stays the same makes deltas much smaller than versions. */
  readonly color?: string;
}

/** Publishes a version of a key in all formats: its gate has the value, and its config by default the color `color N`. */
export function publishGate(upstream: Upstream, sdkKey: string, version: GateVersion): void {
  const { number, gateValue, color = `color ${number}` } = version;
  const lcut = lcutOf(number);
  const spec = { sdkKey, lcut, gateValue, color, checksum: djb2(`checksum of ${number}`) };
  upstream.publish(sdkKey, "v1", specV1(spec), lcut);
  upstream.publish(sdkKey, "v2", specV2(spec), lcut);
  upstream.publishProto(sdkKey, specProto(spec), lcut);
}
