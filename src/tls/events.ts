/** What happens to certificates. */
export type TlsEvent =
  | {
      /** At the start, and each time that the files changed. */
      readonly kind: "certificate_loaded";
      /** False at the start. */
      readonly replaces: boolean;
      /** Hexadecimal. */
      readonly serial: string;
      /** Ms since the Unix epoch. */
      readonly expiresAt: number;
    }
  | { readonly kind: "certificate_refused"; readonly reason: string }
  | { readonly kind: "certificate_expires_soon"; readonly expiresAt: number; readonly leftMs: number }
  /** No common version or cipher; or its certificate was not good enough, or it had none. */
  | { readonly kind: "tls_client_refused"; readonly reason: string };

export type EmitTlsEvent = (event: TlsEvent) => void;
