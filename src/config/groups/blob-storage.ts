import type { VariableSpec } from "../option.ts";
import { type Environment, invalidValue, isHttpUrl, isProxied } from "../settings.ts";

/** An Azure storage account that holds config specs, which are then not requested from `STATSIG_ENDPOINT`. */
interface BlobStorageConfig {
  /** `https://{account}.blob.core.windows.net`, or what the connection string says. */
  readonly baseUrl: string;
  /** Whether requests go through `HTTP_PROXY` or `HTTPS_PROXY`. */
  readonly proxied: boolean;
  readonly account: string;
  /** In Base64. Never shown. */
  readonly accountKey: string;
  /** The folder of the blobs. */
  readonly companyId: string;
}

/** Blob storage is used, or not, possibly because of a problem, which then must be logged. */
export interface BlobStorageReading {
  readonly blobStorage?: BlobStorageConfig;
  readonly blobStorageProblem?: string;
}

const ENABLED = "ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS";
const CONNECTION = "DCS_BLOB_STORAGE_CONNECTION_STRING";
const COMPANY = "DCS_BLOB_STORAGE_COMPANY_ID";

/**
 * With a connection string or company that cannot be used, config specs come from `STATSIG_ENDPOINT`, as in the original proxy.
 * Throws ConfigError if it is neither on nor off.
 */
export function readBlobStorage(env: Environment): BlobStorageReading {
  if (!isEnabled(env)) return {};
  const [connection, companyId] = [env[CONNECTION] ?? "", (env[COMPANY] ?? "").trim()];
  if (connection === "") return { blobStorageProblem: `${CONNECTION} is not set` };
  if (companyId === "") return { blobStorageProblem: `${COMPANY} is not set` };
  const parsed = parseConnectionString(connection);
  if (typeof parsed === "string") return { blobStorageProblem: `${CONNECTION} ${parsed}` };
  return { blobStorage: { ...parsed, companyId, proxied: isProxied(parsed.baseUrl, env) } };
}

function isEnabled(env: Environment): boolean {
  const given = env[ENABLED] ?? "";
  if (given === "true" || given === "1") return true;
  if (given === "" || given === "false" || given === "0") return false;
  throw invalidValue(ENABLED, given, "true or false");
}

type Connection = Pick<BlobStorageConfig, "baseUrl" | "account" | "accountKey">;

/** Returns what is wrong as text, which never quotes the connection string. */
function parseConnectionString(text: string): Connection | string {
  const pairs = text.split(";").filter((pair) => pair.trim() !== "");
  const fields = new Map<string, string>();
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals < 0) return "is malformed (expected Name=Value;Name=Value)";
    fields.set(pair.slice(0, equals).trim().toLowerCase(), pair.slice(equals + 1).trim());
  }
  const account = fields.get("accountname") ?? "";
  const accountKey = fields.get("accountkey") ?? "";
  if (!/^[a-z0-9-]{1,63}$/i.test(account)) return "has no valid AccountName";
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(accountKey) || accountKey.length % 4 !== 0) {
    return "has no AccountKey in Base64, with which URLs of blobs are signed";
  }
  const protocol = fields.get("defaultendpointsprotocol") || "https";
  const suffix = fields.get("endpointsuffix") || "core.windows.net";
  const baseUrl = fields.get("blobendpoint") || `${protocol}://${account}.blob.${suffix}`;
  if (!isHttpUrl(baseUrl)) return "has no valid BlobEndpoint, DefaultEndpointsProtocol or EndpointSuffix";
  return { account, accountKey, baseUrl: baseUrl.replace(/\/+$/, "") };
}

export const BLOB_STORAGE_VARIABLES: readonly VariableSpec[] = [
  {
    name: ENABLED,
    default: "false",
    description:
      "Whether config specs come from Azure Blob Storage, and from STATSIG_ENDPOINT only if a blob is missing",
  },
  {
    name: CONNECTION,
    isSecret: true,
    description: "Connection string of the Azure storage account, with its AccountKey",
  },
  { name: COMPANY, description: "Folder of the blobs in the containers dcs-v1 and dcs-v2" },
];
