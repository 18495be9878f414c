import { randomBytes } from "node:crypto";

/** Names the relays that events came by, as they forward them: `5f0c22a1,9b1d0e77`. */
export const VIA_HEADER = "x-sfp-via";

const FORM = /^[0-9a-f]{8}(?:,[0-9a-f]{8}){0,15}$/;

/** This process. */
const OURS = randomBytes(4).toString("hex");

/** Whether they were here before: relays that forward to each other, or to themselves, would go on with them for ever. */
export function containsThisRelay(way: string | undefined): boolean {
  return way !== undefined && FORM.test(way) && way.split(",").includes(OURS);
}

/** What the next relay is told. */
export function appendVia(way: string | undefined): string {
  return way !== undefined && FORM.test(way) ? `${way},${OURS}` : OURS;
}
