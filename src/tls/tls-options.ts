/** The oldest version of the protocol that is spoken. */
export type TlsVersion = "1.2" | "1.3";

export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  /** Of the authorities of clients' certificates; undefined: clients are asked for none. */
  readonly clientCaPath: string | undefined;
  /** Of the private key, where that is encrypted. */
  readonly passphrase: string | undefined;
}

export interface ClientCertRules {
  /** Else a certificate is checked where the client has one. */
  readonly requireClientCert: boolean;
  /** Common names, or names of the subjectAltName; empty: every name. */
  readonly clientNames: readonly string[];
}

export interface TlsOptions extends TlsFiles, ClientCertRules {
  readonly minVersion: TlsVersion;
}
