import { rm, writeFile } from "node:fs/promises";

/** Debian packages call this program before they start their service. */
const POLICY = "/usr/sbin/policy-rc.d";

/** Exit code 101 forbids the start. The variable limits this to our own apt-get, in case someone else installs packages now. */
const SCRIPT = `#!/bin/sh
# Exists while the tests of statsig-forward-proxy install packages. You may remove it.
[ "$SFP_NO_SERVICES" = 1 ] && exit 101
exit 0
`;

/** Environment of an apt-get whose packages must not start their services. */
export const NO_SERVICES = { SFP_NO_SERVICES: "1" };

/**
 * Runs `work` while a policy forbids packages that are installed with {@link NO_SERVICES} to start their services, such as
 * nginx on port 80 and Redis on port 6379. A policy that already exists on the machine stays in force.
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
