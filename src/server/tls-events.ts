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
  /** The handshake failed, or the client certificate was missing or rejected. Events that differ in their client only may become one. */
  | ({
      readonly kind: "tls_client_refused";
      /** A sentence, the same for all clients with this problem. */
      readonly reason: string;
      /** The names in the certificate of the client, if they are the reason. */
      readonly names?: string;
      /** The IP address of the client, or of the latest one. */
      readonly client?: string;
      /** The port of the relay that it connected to. */
      readonly port?: number;
    } & Repeated);

export type EmitTlsEvent = (event: TlsEvent) => void;
