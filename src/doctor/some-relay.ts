import { isIP } from "node:net";
import type { PortToOpen } from "./ports-check.ts";

const TIME_LIMIT_MS = 2_000;

/** Whether a relay answers on one of these ports, ready or not: the header `server` tells. */
export async function someRelayAnswers(ports: readonly PortToOpen[]): Promise<boolean> {
  const urls = ports.flatMap(({ option, address, port }) => {
    if (option === "grpc-port" || option === "grpcs-port") return [];
    const scheme = option === "https-port" ? "https" : "http";
    return `${scheme}://${reachable(address)}:${port}/v1/health`;
  });
  return (await Promise.all(urls.map(isRelay))).includes(true);
}

async function isRelay(url: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(TIME_LIMIT_MS);
    // Who answers is all that is asked: nothing of the answer is trusted.
    const response = await fetch(url, { signal, tls: { rejectUnauthorized: false } });
    await response.body?.cancel();
    return response.headers.get("server") === "statsig-forward-proxy";
  } catch {
    return false;
  }
}

function reachable(address: string): string {
  if (address === "::" || address === "0.0.0.0") return "127.0.0.1";
  return isIP(address) === 6 ? `[${address}]` : address;
}
