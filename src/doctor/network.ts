import { lookup } from "node:dns/promises";
import { connect, isIP } from "node:net";
import { describeNetworkError } from "../platform/network-errors.ts";
import { countAuthorities } from "../platform/process/authorities.ts";
import type { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { type Check, type CheckResult, failed, ok, skipped, warning } from "./check.ts";

interface UpstreamToReach {
  /** Without user and password. */
  readonly shownUrl: string;
  /** The variable that sets it. */
  readonly variable: string;
  readonly endpoint: UpstreamEndpoint;
}

/** Any response will do, even 404. */
const PATH = "/v1/health";

/** Checks whether upstream responds. The check of SDK keys looks at the responses. */
export function upstreamCheck(upstreams: readonly UpstreamToReach[]): Check {
  return {
    name: "upstream",
    run: (signal) => Promise.all(upstreams.map((upstream) => checkReachable(upstream, signal))),
  };
}

async function checkReachable({ shownUrl, variable, endpoint }: UpstreamToReach, signal: AbortSignal) {
  try {
    const startedAt = performance.now();
    const response = await endpoint.send({ path: PATH, headers: {} }, signal);
    await response.body?.cancel();
    const tookMs = Math.round(performance.now() - startedAt);
    if (response.status < 500) return ok(`${shownUrl} responds after ${tookMs} ms`);
    const fix = `retry later, check proxies on the path to upstream, or correct ${variable}`;
    return failed(`${shownUrl} responds ${response.status}`, fix);
  } catch (error) {
    const reason = describeNetworkError(error);
    return failed(`${shownUrl} is unreachable: ${reason}`, findFix(reason, variable));
  }
}

function findFix(reason: string, variable: string): string {
  if (reason.includes("certificate")) {
    return "if a proxy intercepts TLS, or upstream is another relay, set NODE_EXTRA_CA_CERTS to its CA certificates";
  }
  return `allow connections to it (firewall, egress policy), set HTTPS_PROXY, or correct ${variable}`;
}

/** A host that the relay connects to. */
export interface HostToFind {
  readonly host: string;
  /** The variable that sets it. */
  readonly setting: string;
}

/** Checks whether every host name resolves. */
export function namesCheck(hosts: readonly HostToFind[]): Check {
  const named = hosts.filter(({ host }) => isIP(host) === 0);
  return {
    name: "DNS",
    run: async () => {
      if (named.length === 0) return [ok("not needed, all hosts are IP addresses")];
      return Promise.all(named.map(resolveHost));
    },
  };
}

async function resolveHost({ host, setting }: HostToFind): Promise<CheckResult> {
  try {
    const found = await lookup(host, { all: true });
    return ok(`${host} resolves to ${found.map(({ address }) => address).join(", ")}`);
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    const fix = `check ${setting}, and /etc/resolv.conf (in Kubernetes: dnsPolicy, and network policies for port 53)`;
    return failed(`${host} does not resolve (${code})`, fix);
  }
}

export interface ProxySetting {
  /** The variable that sets it. */
  readonly variable: string;
  readonly url: string;
}

/** Checks whether the proxy for upstream accepts connections. */
export function proxyCheck(proxy: ProxySetting | undefined): Check {
  return {
    name: "proxy",
    run: async (signal) => {
      if (proxy === undefined) return [ok("not set, upstream is connected to directly")];
      const { variable, url } = proxy;
      const fix = `correct or unset ${variable}, or add the host of upstream to NO_PROXY`;
      if (!URL.canParse(url)) return [failed(`${variable} is not a URL`, fix)];
      const { hostname, port, protocol } = new URL(url);
      const shown = `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
      const problem = await tryToConnect(hostname, Number(shown.slice(shown.lastIndexOf(":") + 1)), signal);
      if (problem === undefined) return [ok(`${shown} of ${variable} accepts connections`)];
      return [failed(`${shown} of ${variable} accepts no connections (${problem})`, fix)];
    },
  };
}

/** Resolves with undefined if a connection is accepted, else with the error code. */
function tryToConnect(host: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: host.replace(/^\[|\]$/g, ""), port, signal });
    socket.once("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.name));
  });
}

/** Checks whether the additional CA certificates are readable. */
export function authoritiesCheck(path: string | undefined): Check {
  return {
    name: "CA",
    run: async () => {
      if (path === undefined) return [ok("default CA certificates; NODE_EXTRA_CA_CERTS is not set")];
      const shown = `NODE_EXTRA_CA_CERTS "${path}"`;
      const fix = "set it to a PEM file with CA certificates, and restart the relay";
      const counted = countAuthorities(path);
      return typeof counted === "string"
        ? [failed(`${shown} is unusable: ${counted}`, fix)]
        : [ok(`${counted} additional CA certificates from ${shown}`)];
    },
  };
}

/** A Date header has a resolution of one second. */
const WARN_S = 5;
/** With a larger offset, events are attributed to wrong days and certificates are rejected as not yet valid. */
const FAIL_S = 60;

/** Compares the clock of this machine with that of upstream. */
export function clockCheck(endpoint: UpstreamEndpoint): Check {
  return {
    name: "clock",
    run: async (signal) => {
      const date = await fetchDate(endpoint, signal);
      if (date === undefined) return [skipped("upstream sent no date")];
      const offS = Math.round((Date.now() - date) / 1_000);
      const detail = `${Math.abs(offS)} s ${offS < 0 ? "behind" : "ahead of"} upstream`;
      const fix = "synchronize the clock with NTP (chrony, systemd-timesyncd; for a container, on its host)";
      if (Math.abs(offS) > FAIL_S) return [failed(detail, fix)];
      return [Math.abs(offS) > WARN_S ? warning(detail, fix) : ok(`within ${WARN_S} s of upstream`)];
    },
  };
}

async function fetchDate(endpoint: UpstreamEndpoint, signal: AbortSignal): Promise<number | undefined> {
  try {
    const response = await endpoint.send({ path: PATH, headers: {} }, signal);
    await response.body?.cancel();
    const date = Date.parse(response.headers.get("date") ?? "");
    return Number.isNaN(date) ? undefined : date;
  } catch {
    return undefined;
  }
}
