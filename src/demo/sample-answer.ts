/** What a route answers; whoever sends it adds Content-Length, which SDKs need for ID list files. */
export interface SampleAnswer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: Buffer;
}

export function jsonAnswer(
  status: number,
  value: unknown,
  headers: SampleAnswer["headers"] = {},
): SampleAnswer {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: { "content-type": "application/json", ...headers }, body };
}

function textAnswer(status: number, text: string): SampleAnswer {
  return { status, headers: { "content-type": "text/plain" }, body: Buffer.from(text) };
}

export const unauthorized = textAnswer(401, "Unauthorized");
export const notFound = textAnswer(404, "Not Found");
