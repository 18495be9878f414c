/** The oldest version of the protocol that is spoken. */
export type TlsVersion = "1.2" | "1.3";
