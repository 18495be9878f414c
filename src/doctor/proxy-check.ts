import { connect } from "node:net";
import { type Check, failed, ok } from "./check.ts";

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
