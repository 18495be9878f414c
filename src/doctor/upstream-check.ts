import type { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { describeNetworkError } from "../upstream/network-error.ts";
import { type Check, failed, ok } from "./check.ts";

export interface UpstreamToReach {
  /** Without user and password. */
  readonly shownUrl: string;
  /** The variable that sets it. */
  readonly variable: string;
  readonly endpoint: UpstreamEndpoint;
}

/** Asked for by nobody else: any answer will do, also that there is nothing. */
const PATH = "/v1/health";

/** Whether upstream answers at all; what it answers is for the check of the keys. */
export function upstreamCheck(upstreams: readonly UpstreamToReach[]): Check {
  return {
    name: "upstream",
    run: (signal) => Promise.all(upstreams.map((upstream) => reach(upstream, signal))),
  };
}

async function reach({ shownUrl, variable, endpoint }: UpstreamToReach, signal: AbortSignal) {
  try {
    const startedAt = performance.now();
    const response = await endpoint.get({ path: PATH, headers: {} }, signal);
    await response.body?.cancel();
    const tookMs = Math.round(performance.now() - startedAt);
    if (response.status < 500) return ok(`${shownUrl} answers, after ${tookMs} ms`);
    const mend = `wait, or see what stands between here and upstream; ${variable} sets where it is`;
    return failed(`${shownUrl} answers ${response.status}`, mend);
  } catch (error) {
    const reason = describeNetworkError(error);
    return failed(`${shownUrl} can't be reached: ${reason}`, mendFor(reason, variable));
  }
}

function mendFor(reason: string, variable: string): string {
  if (reason.includes("certificate")) {
    return "if a proxy looks into TLS, or upstream is another relay: give its authority by NODE_EXTRA_CA_CERTS";
  }
  return `let this machine connect to it (firewall, egress policy), set HTTPS_PROXY, or correct ${variable}`;
}
