import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { describeErrno } from "../errors.ts";
import { openLibc } from "../libc.ts";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Returns the number of certificates in a PEM file, or in words why it cannot be used. */
export function countAuthorities(path: string): number | string {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    return describeErrno(error);
  }
  try {
    const count = (text.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block)).length;
    return count === 0 ? "it contains no PEM certificate" : count;
  } catch {
    return "it contains a malformed certificate";
  }
}

/**
 * Bun reads NODE_EXTRA_CA_CERTS at the first TLS connection, and prints a line of its own if it cannot use the file. Removes such a
 * variable, which has no effect anyway, from the environment of the process, and returns why. Call it before the first connection.
 */
export function dropUnusableAuthorities(path: string | undefined): string | undefined {
  if (!path) return undefined;
  const counted = countAuthorities(path);
  if (typeof counted === "number") return undefined;
  openLibc(process.platform).unsetenv("NODE_EXTRA_CA_CERTS");
  return counted;
}
