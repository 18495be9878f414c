import type { SdkProcess } from "../sdks/sdk-process.ts";

/** One version of a key's minimal project, which differs from the others in all that an SDK evaluates. */
export interface Revision {
  readonly sdkKey: string;
  readonly lcut: number;
  readonly gateValue: boolean;
  readonly color: string;
}

/** Returns versions of a project, each a minute newer than the one before. */
export const revision = (sdkKey: string, number: number): Revision => ({
  sdkKey,
  lcut: 1_700_000_000_000 + number * 60_000,
  gateValue: number % 2 === 0,
  color: `color ${number}`,
});

type Seen = Omit<Revision, "sdkKey">;

/** Evaluates the project with the SDK. */
export async function seenBy(sdk: SdkProcess): Promise<Partial<Seen>> {
  const gate = await sdk.gate("gate_public");
  const { value, lcut } = await sdk.config("config_public");
  const color = String(value["color"]);
  return gate.lcut === lcut && lcut !== undefined
    ? { gateValue: gate.value, color, lcut }
    : { gateValue: gate.value, color };
}

/** The expected evaluation of this version. */
export const correct = ({ gateValue, color, lcut }: Revision): Partial<Seen> => ({ gateValue, color, lcut });
