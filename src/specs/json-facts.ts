import { type PayloadFacts, PayloadRefused, parseLcut } from "./payload.ts";

/** Reads a JSON config spec. Throws {@link PayloadRefused} where it is not a whole JSON object in UTF-8. */
export function readJsonFacts(bytes: Uint8Array): PayloadFacts {
  return factsOf(parseObject(bytes));
}

export function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw new PayloadRefused("malformed", "the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new PayloadRefused("malformed", "the body is JSON, but no object");
  }
  return value as Readonly<Record<string, unknown>>;
}

export function factsOf(spec: Readonly<Record<string, unknown>>): PayloadFacts {
  const hash = spec["hashed_sdk_key_used"];
  return {
    hasUpdates: spec["has_updates"] !== false,
    lcut: parseLcut(spec["time"]),
    hashedSdkKey: typeof hash === "string" || typeof hash === "number" ? String(hash) : undefined,
  };
}
