import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Debian packages call this program before they start their service. */
const POLICY = "/usr/sbin/policy-rc.d";

/** Exit code 101 forbids the start. The variable limits this to our own apt-get, in case someone else installs packages now. */
const POLICY_SCRIPT = `#!/bin/sh
# Exists while the tests of statsig-forward-proxy install packages. You may remove it.
[ "$SFP_NO_SERVICES" = 1 ] && exit 101
exit 0
`;

/** Calls the program that a script below replaces: the folder of the scripts is the first one of the PATH. */
const CALL = `PATH="\${PATH#*:}" exec`;

/**
 * Programs by which packages enable their services for the next boot -> a script that is found before them, and leaves new
 * services disabled. A service that the machine had before stays as it is.
 */
const PROGRAMS: Readonly<Record<string, string>> = {
  // A package asks "was-enabled" to find out whether a user has disabled its unit, and the answer for a new unit is yes.
  "deb-systemd-helper": `#!/bin/sh
for word; do
  shift
  [ "$word" = was-enabled ] && word=is-enabled
  set -- "$@" "$word"
done
${CALL} deb-systemd-helper "$@"
`,
  "update-rc.d": `#!/bin/sh
[ "$2" = defaults ] && set -- "$1" defaults-disabled
${CALL} update-rc.d "$@"
`,
  // The package of systemd calls it for its own units.
  systemctl: `#!/bin/sh
case " $* " in *" enable "* | *" preset "* | *" start "*) exit 0 ;; esac
${CALL} systemctl "$@"
`,
};

/**
 * Runs `work` with an environment in which apt-get neither starts nor enables the services of the packages that it installs, such as
 * nginx on port 80 and Redis on port 6379. A policy that already exists on the machine stays in force. apt-get needs
 * `-o DPkg::Path=` in addition, since it has a PATH of its own.
 */
export async function withoutServices<T>(
  work: (env: Readonly<Record<string, string>>) => Promise<T>,
  policy = POLICY,
): Promise<T> {
  const programs = await mkdtemp(join(tmpdir(), "sfp-no-services-"));
  const isOurs = await writeFile(policy, POLICY_SCRIPT, { mode: 0o755, flag: "wx" }).then(
    () => true,
    () => false,
  );
  try {
    for (const [name, script] of Object.entries(PROGRAMS)) {
      await writeFile(join(programs, name), script, { mode: 0o755 });
    }
    return await work({ SFP_NO_SERVICES: "1", PATH: `${programs}:${process.env["PATH"] ?? ""}` });
  } finally {
    await rm(programs, { recursive: true, force: true });
    if (isOurs) await rm(policy, { force: true });
  }
}
