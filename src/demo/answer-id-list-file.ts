import { notFound, type SampleAnswer } from "./sample-answer.ts";
import { companyListFile, companyListFileId } from "./sample-id-list.ts";

/** An ID list file, or the part of it from `Range: bytes=N-`: SDKs come back only for what was added. */
export function answerIdListFile(fileId: string, range: string | undefined): SampleAnswer {
  if (fileId !== companyListFileId) return notFound;
  const type = { "content-type": "text/plain", "accept-ranges": "bytes" };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  if (first === undefined) return { status: 200, headers: type, body: companyListFile };

  const size = companyListFile.length;
  const start = Number(first);
  const end = last ? Math.min(Number(last), size - 1) : size - 1;
  if (start > end) {
    return { status: 416, headers: { ...type, "content-range": `bytes */${size}` }, body: Buffer.alloc(0) };
  }
  const headers = { ...type, "content-range": `bytes ${start}-${end}/${size}` };
  return { status: 206, headers, body: companyListFile.subarray(start, end + 1) };
}
