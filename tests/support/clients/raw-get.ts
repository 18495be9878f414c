import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { buffer } from "node:stream/consumers";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";

export interface RawResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** As received, still encoded. */
  readonly body: Buffer;
}

/** Sends a GET over its own connection, with only the given headers, Host and Connection. */
export async function rawGet(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  { limitMs = 10_000 } = {},
): Promise<RawResponse> {
  const sent = request(url, { headers, agent: false, signal: AbortSignal.timeout(limitMs) });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once("response", resolve).once("error", reject);
  });
  sent.end();
  const answer = await answered;
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await buffer(answer) };
}

/** Decodes the text of a response by its Content-Encoding. */
export function textOf({ headers, body }: RawResponse): string {
  const coding = headers["content-encoding"] ?? "identity";
  switch (coding) {
    case "identity":
      return body.toString();
    case "gzip":
      return gunzipSync(body).toString();
    case "br":
      return brotliDecompressSync(body).toString();
    case "zstd":
      return zstdDecompressSync(body).toString();
    default:
      throw new Error(`no test asks for Content-Encoding ${coding}`);
  }
}
