import type { SendOptions } from "../requests.ts";

/** Whether requests can be sent by HTTP/2 over TLS. */
export const FETCHES_HTTP2: boolean = true;

/** Like `fetch`. The proxy is that of the environment, and NODE_EXTRA_CA_CERTS is trusted. */
export function sendRequest(url: string, options: SendOptions): Promise<Response> {
  return fetch(url, options);
}
