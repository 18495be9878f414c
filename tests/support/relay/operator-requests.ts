import type { ManagedRelay } from "./managed-relay.ts";

/** The token of relays that tests start with {@link OPERATED}. */
const TOKEN = "a-token-of-24-characters";

/** Variables that turn the operator API on. */
export const OPERATED = { SFP_MANAGEMENT_TOKEN: TOKEN };

interface OperatorResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Sends a request with the token. The body is sent as JSON, unless it is a text. */
export async function order(
  { url }: Pick<ManagedRelay, "url">,
  path: string,
  body?: object | string,
): Promise<OperatorResponse> {
  const text = typeof body === "string" ? body : body && JSON.stringify(body);
  const headers = { authorization: `Bearer ${TOKEN}` };
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers,
    ...(text !== undefined && { body: text }),
  });
  const { status } = response;
  return { status, headers: response.headers, body: (await response.json()) as OperatorResponse["body"] };
}
