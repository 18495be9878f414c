import { describe, expect, test } from "bun:test";
import { readBlobStorage } from "../../src/config/groups/blob-storage.ts";

const KEY = "a2V5IG9mIHRoZSBhY2NvdW50";
const CONNECTION = `DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=${KEY};EndpointSuffix=core.windows.net`;
const env = {
  ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: "true",
  DCS_BLOB_STORAGE_CONNECTION_STRING: CONNECTION,
  DCS_BLOB_STORAGE_COMPANY_ID: "company-1",
};

describe("Blob storage", () => {
  test.each([undefined, "", "false", "0"])("is not used with %p", (word) => {
    expect(readBlobStorage({ ...env, ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: word })).toEqual({});
  });

  test.each(["yes", "TRUE", "on"])("can't be enabled by %p, which the original rejects as well", (word) => {
    expect(() => readBlobStorage({ ...env, ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: word })).toThrow(
      `invalid value "${word}" for ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS (expected true or false)`,
    );
  });

  const account = { account: "acct", accountKey: KEY, companyId: "company-1", proxied: false };
  test.each([
    [CONNECTION, "https://acct.blob.core.windows.net"],
    [` accountname=acct ; accountkey=${KEY};`, "https://acct.blob.core.windows.net"],
    [
      `AccountName=acct;AccountKey=${KEY};EndpointSuffix=core.usgovcloudapi.net`,
      "https://acct.blob.core.usgovcloudapi.net",
    ],
    [
      `AccountName=acct;AccountKey=${KEY};BlobEndpoint=http://127.0.0.1:10000/acct/`,
      "http://127.0.0.1:10000/acct",
    ],
  ])("is where %p says", (connection, baseUrl) => {
    const read = readBlobStorage({ ...env, DCS_BLOB_STORAGE_CONNECTION_STRING: connection });
    expect(read).toEqual({ blobStorage: { ...account, baseUrl } });
  });

  test("is reached through the proxy of the environment, and its company may end with a line end", () => {
    const more = { HTTPS_PROXY: "http://proxy:3128", DCS_BLOB_STORAGE_COMPANY_ID: "company-1\n" };
    const { blobStorage } = readBlobStorage({ ...env, ...more });
    expect(blobStorage).toMatchObject({ companyId: "company-1", proxied: true });
  });

  const name = "DCS_BLOB_STORAGE_CONNECTION_STRING";
  test.each<[Readonly<Record<string, string>>, string]>([
    [{ [name]: "" }, `${name} is not set`],
    [{ DCS_BLOB_STORAGE_COMPANY_ID: " " }, "DCS_BLOB_STORAGE_COMPANY_ID is not set"],
    [{ [name]: "s3cret" }, `${name} is malformed (expected Name=Value;Name=Value)`],
    [{ [name]: `AccountKey=${KEY}` }, `${name} has no valid AccountName`],
    [{ [name]: "AccountName=a.example/;AccountKey=s3cret" }, `${name} has no valid AccountName`],
    [
      { [name]: "AccountName=acct;SharedAccessSignature=s3cret" },
      `${name} has no AccountKey in Base64, with which URLs of blobs are signed`,
    ],
    [
      { [name]: "AccountName=acct;AccountKey=s3cret!" },
      `${name} has no AccountKey in Base64, with which URLs of blobs are signed`,
    ],
    [
      { [name]: `AccountName=acct;AccountKey=${KEY};BlobEndpoint=ftp://x` },
      `${name} has no valid BlobEndpoint, DefaultEndpointsProtocol or EndpointSuffix`,
    ],
  ])("is not used with %j, for a reason without secrets", (wrong, problem) => {
    expect(readBlobStorage({ ...env, ...wrong })).toEqual({ blobStorageProblem: problem });
    expect(problem).not.toContain("s3cret");
  });
});
