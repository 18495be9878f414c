import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { whyUnreadable } from "../unreadable.ts";
import { type Check, failed, ok } from "./check.ts";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Whether the authorities that are trusted besides the usual ones can be read. */
export function authoritiesCheck(path: string | undefined): Check {
  return {
    name: "CA",
    run: async () => {
      if (path === undefined) return [ok("the usual authorities; NODE_EXTRA_CA_CERTS is not set")];
      const shown = `NODE_EXTRA_CA_CERTS "${path}"`;
      const mend = "let it name a PEM file with certificates, and restart the relay";
      try {
        const count = certificatesIn(readFileSync(path, "latin1"));
        if (count === 0) return [failed(`${shown} holds no PEM certificate`, mend)];
        return [ok(`${count} more than usual, of ${shown}`)];
      } catch (error) {
        const isMissing = error instanceof Error && "code" in error && "path" in error;
        const reason = isMissing ? whyUnreadable(path) : "it holds a damaged certificate";
        return [failed(`${shown} can't be used: ${reason}`, mend)];
      }
    },
  };
}

function certificatesIn(text: string): number {
  return (text.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block)).length;
}
