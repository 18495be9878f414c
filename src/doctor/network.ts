import { X509Certificate } from "node:crypto";
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { connect, isIP } from "node:net";
import { describeUnreadable } from "../platform/file-watch.ts";
import type { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { describeNetworkError } from "../upstream/errors.ts";
import { type Check, type CheckResult, failed, ok, skipped, warning } from "./check.ts";

interface UpstreamToReach {
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

/** A name that the relay connects to. */
export interface HostToFind {
  readonly host: string;
  /** By which it was given. */
  readonly setting: string;
}

/** Whether every host name leads to an address. */
export function namesCheck(hosts: readonly HostToFind[]): Check {
  const named = hosts.filter(({ host }) => isIP(host) === 0);
  return {
    name: "DNS",
    run: async () => {
      if (named.length === 0) return [ok("no name is needed, all hosts are given by address")];
      return Promise.all(named.map(find));
    },
  };
}

async function find({ host, setting }: HostToFind): Promise<CheckResult> {
  try {
    const found = await lookup(host, { all: true });
    return ok(`${host} is ${found.map(({ address }) => address).join(", ")}`);
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    const mend = `see whether ${setting} is spelt right, and /etc/resolv.conf (in Kubernetes: dnsPolicy, network policies to port 53)`;
    return failed(`${host} can't be found (${code})`, mend);
  }
}

export interface ProxySetting {
  /** The variable that names it. */
  readonly variable: string;
  readonly url: string;
}

/** Whether the proxy that requests to upstream go through takes connections. */
export function proxyCheck(proxy: ProxySetting | undefined): Check {
  return {
    name: "proxy",
    run: async (signal) => {
      if (proxy === undefined) return [ok("none: upstream is asked directly")];
      const { variable, url } = proxy;
      const mend = `correct or unset ${variable}, or except upstream's host by NO_PROXY`;
      if (!URL.canParse(url)) return [failed(`${variable} is no URL`, mend)];
      const { hostname, port, protocol } = new URL(url);
      const shown = `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
      const problem = await tryToConnect(hostname, Number(shown.slice(shown.lastIndexOf(":") + 1)), signal);
      if (problem === undefined) return [ok(`${shown} of ${variable} takes connections`)];
      return [failed(`${shown} of ${variable} takes no connection (${problem})`, mend)];
    },
  };
}

/** Undefined where it can be made. */
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

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Whether the authorities that are trusted besides the usual ones can be read. */
export function authoritiesCheck(path: string | undefined): Check {
  return {
    name: "CA",
    run: async () => {
      if (path === undefined) return [ok("the usual authorities; NODE_EXTRA_CA_CERTS is not set")];
      const shown = `NODE_EXTRA_CA_CERTS "${path}"`;
      const mend = "let it name a PEM file with certificates, and restart the relay";
      try {
        const count = certificatesIn(readFileSync(path, "latin1"));
        if (count === 0) return [failed(`${shown} holds no PEM certificate`, mend)];
        return [ok(`${count} more than usual, of ${shown}`)];
      } catch (error) {
        const isMissing = error instanceof Error && "code" in error && "path" in error;
        const reason = isMissing ? describeUnreadable(path) : "it holds a damaged certificate";
        return [failed(`${shown} can't be used: ${reason}`, mend)];
      }
    },
  };
}

function certificatesIn(text: string): number {
  return (text.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block)).length;
}

/** A Date header tells whole seconds. */
const WARN_S = 5;
/** Events of so far away are sorted into wrong days, and certificates count as not yet valid. */
const FAIL_S = 60;

/** Whether this machine's clock agrees with upstream's. */
export function clockCheck(endpoint: UpstreamEndpoint): Check {
  return {
    name: "clock",
    run: async (signal) => {
      const date = await dateOf(endpoint, signal);
      if (date === undefined) return [skipped("upstream did not say what time it is")];
      const offS = Math.round((Date.now() - date) / 1_000);
      const detail = `${Math.abs(offS)} s ${offS < 0 ? "behind" : "ahead of"} upstream's`;
      const mend = "set the clock by NTP (chrony, systemd-timesyncd; the host's, where this is a container)";
      if (Math.abs(offS) > FAIL_S) return [failed(detail, mend)];
      return [Math.abs(offS) > WARN_S ? warning(detail, mend) : ok(`within ${WARN_S} s of upstream's`)];
    },
  };
}

async function dateOf(endpoint: UpstreamEndpoint, signal: AbortSignal): Promise<number | undefined> {
  try {
    const response = await endpoint.get({ path: "/v1/health", headers: {} }, signal);
    await response.body?.cancel();
    const date = Date.parse(response.headers.get("date") ?? "");
    return Number.isNaN(date) ? undefined : date;
  } catch {
    return undefined;
  }
}
