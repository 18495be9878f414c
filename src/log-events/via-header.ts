import { randomBytes } from "node:crypto";

/** Lists the relays that forwarded the events, as 8 hexadecimal digits each: `5f0c22a1,9b1d0e77` (docs/protocol.md, Forwarding headers). */
export const VIA_HEADER = "x-sfp-via";

const VALID_VIA = /^[0-9a-f]{8}(?:,[0-9a-f]{8}){0,15}$/;

/**
 * Identifies this process, on the thread that forwards events. On other threads, this module makes another ID: they get the one
 * that counts from `LogEventService.relayId`.
 */
export const RELAY_ID = randomBytes(4).toString("hex");

/** Returns true if the relay forwarded the events before: relays that forward in a circle would never stop. */
export function containsRelay(via: string | undefined, relayId: string): boolean {
  return via !== undefined && VALID_VIA.test(via) && via.split(",").includes(relayId);
}

/** Returns the header's value for the next relay, with {@link RELAY_ID}. An invalid `via` is replaced. */
export function appendVia(via: string | undefined): string {
  return via !== undefined && VALID_VIA.test(via) ? `${via},${RELAY_ID}` : RELAY_ID;
}
