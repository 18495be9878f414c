import { isAbsolute, join } from "node:path";

/** Environment variables that determine where a program keeps its state. */
interface StateVariables {
  /** Set by systemd's `StateDirectory=`: one path, or several separated by colons. */
  readonly STATE_DIRECTORY?: string | undefined;
  /** Set by systemd for every service. */
  readonly INVOCATION_ID?: string | undefined;
  readonly XDG_STATE_HOME?: string | undefined;
  readonly HOME?: string | undefined;
}

const NAME = "statsig-forward-proxy";
/** The database file of the local backup, in its folder. */
export const SPECS_FILE_NAME = "specs.sqlite";

const SERVICE_FOLDER = join("/var/lib", NAME);

/** Returns the default folder of the local backup. */
export function defaultLocalCachePath(variables: StateVariables): string {
  const { STATE_DIRECTORY, INVOCATION_ID, XDG_STATE_HOME, HOME } = variables;
  const stateDirectory = absolute(STATE_DIRECTORY?.split(":")[0]);
  if (stateDirectory !== undefined) return stateDirectory;
  if (INVOCATION_ID) return SERVICE_FOLDER;
  const stateHome = absolute(XDG_STATE_HOME);
  if (stateHome !== undefined) return join(stateHome, NAME);
  const home = absolute(HOME);
  return home === undefined ? SERVICE_FOLDER : join(home, ".local", "state", NAME);
}

/** Returns undefined for a relative path, which the XDG base directory specification says to ignore. */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
