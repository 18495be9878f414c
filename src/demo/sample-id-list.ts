import { createHash } from "node:crypto";

export const companyListName = "company_list";
export const companyListFileId = "company_list_1";
const companyListCreatedMs = Date.UTC(2024, 2, 1);
const companies = ["acme", "globex", "initech", "umbrella"];

/** ID lists hold no plain IDs: SDKs look for the first 8 base64 characters of the SHA-256. */
function listLine(id: string): string {
  return `+${createHash("sha256").update(id).digest("base64").slice(0, 8)}\n`;
}

export const companyListFile: Buffer = Buffer.from(companies.map(listLine).join(""));

/** What get_id_lists answers: where each list's file is, and how long it is by now. */
export function idListManifest(baseUrl: string) {
  return {
    [companyListName]: {
      name: companyListName,
      url: `${baseUrl}/v1/download_id_list_file/${companyListFileId}`,
      fileID: companyListFileId,
      size: companyListFile.length,
      creationTime: companyListCreatedMs,
    },
  };
}
