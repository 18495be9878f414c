import type { Repeated } from "./repeated.ts";

/** Events of certificates. */
export type TlsEvent =
  | {
      /** Emitted at startup, and after each change of the files. */
      readonly kind: "certificate_loaded";
      /** False at startup. */
      readonly replaces: boolean;
      /** Hexadecimal. */
      readonly serial: string;
      /** Ms since the Unix epoch. */
      readonly expiresAt: number;
    }
  | { readonly kind: "certificate_refused"; readonly reason: string }
  | { readonly kind: "certificate_expires_soon"; readonly expiresAt: number; readonly leftMs: number }
  /** The handshake failed, or the client certificate was missing or rejected. */
  | ({ readonly kind: "tls_client_refused"; readonly reason: string } & Repeated);

export type EmitTlsEvent = (event: TlsEvent) => void;
