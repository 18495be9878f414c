import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Check, type Finding, failed, ok } from "./check.ts";

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

async function find({ host, setting }: HostToFind): Promise<Finding> {
  try {
    const found = await lookup(host, { all: true });
    return ok(`${host} is ${found.map(({ address }) => address).join(", ")}`);
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    const mend = `see whether ${setting} is spelt right, and /etc/resolv.conf (in Kubernetes: dnsPolicy, network policies to port 53)`;
    return failed(`${host} can't be found (${code})`, mend);
  }
}
