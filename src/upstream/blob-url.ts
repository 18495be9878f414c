import { createHmac } from "node:crypto";

/** The account whose key signs. */
interface BlobAccount {
  readonly account: string;
  /** In Base64. */
  readonly accountKey: string;
}

interface SignedBlob {
  readonly container: string;
  /** Name of the blob; slashes make folders. */
  readonly name: string;
  readonly isHttps: boolean;
  /** Ms since the Unix epoch. */
  readonly now: number;
}

/** A version of Azure Storage since which the fields below are signed. */
const VERSION = "2022-11-02";

/** Signed URLs are made for one request. The clock of this machine may be slow by less than this. */
const LIFE_MS = 300_000;

/**
 * Returns the path and query of a blob with a shared access signature that permits to read it for 5 minutes ("Create a service SAS"
 * in the documentation of Azure Storage). It gives access to the blob: do not log it.
 */
export function signBlobPath({ account, accountKey }: BlobAccount, blob: SignedBlob): string {
  const { container, name, isHttps, now } = blob;
  const expiry = new Date(now + LIFE_MS).toISOString().replace(/\.\d+Z$/, "Z");
  const [permissions, protocol, resource] = ["r", isHttps ? "https" : "https,http", "b"];
  const fields = {
    permissions,
    start: "",
    expiry,
    canonicalizedResource: `/blob/${account}/${container}/${name}`,
    identifier: "",
    ip: "",
    protocol,
    version: VERSION,
    resource,
    snapshotTime: "",
    encryptionScope: "",
    cacheControl: "",
    contentDisposition: "",
    contentEncoding: "",
    contentLanguage: "",
    contentType: "",
  };
  const signature = createHmac("sha256", Buffer.from(accountKey, "base64"))
    .update(Object.values(fields).join("\n"))
    .digest("base64");
  const query = new URLSearchParams({
    sv: VERSION,
    spr: protocol,
    se: expiry,
    sr: resource,
    sp: permissions,
    sig: signature,
  });
  return `/${container}/${name.split("/").map(encodeURIComponent).join("/")}?${query}`;
}
