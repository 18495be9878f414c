import { rm, writeFile } from "node:fs/promises";

/** Debian's installers of services ask this program before they start one. */
const POLICY = "/usr/sbin/policy-rc.d";

/** 101 is "not allowed". Others who install something meanwhile are not concerned: they lack the variable. */
const SCRIPT = `#!/bin/sh
# Written while tests of statsig-forward-proxy install packages; may be removed.
[ "$SFP_NO_SERVICES" = 1 ] && exit 101
exit 0
`;

/** Has the packages that are installed with it start none of their services. */
export const NO_SERVICES = { SFP_NO_SERVICES: "1" };

/**
 * Does the work with a policy in place by which packages that are installed with {@link NO_SERVICES} in their environment
 * do not start their services: a nginx on port 80, a Redis on 6379. A policy that the machine has of its own stays, and is
 * the one that counts.
 */
export async function withoutServices<T>(work: () => Promise<T>, policy = POLICY): Promise<T> {
  const isOurs = await writeFile(policy, SCRIPT, { mode: 0o755, flag: "wx" }).then(
    () => true,
    () => false,
  );
  try {
    return await work();
  } finally {
    if (isOurs) await rm(policy, { force: true });
  }
}
