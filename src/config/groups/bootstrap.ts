import type { OptionGroup } from "../option.ts";
import { ConfigError, type Settings } from "../settings.ts";

/** Config specs in files. */
export interface BootstrapConfig {
  /** A folder or a file; undefined if there are no files. */
  readonly path: string | undefined;
  /** Whether the files are all that the relay serves, and nothing is requested from Statsig. */
  readonly offline: boolean;
}

/** Throws {@link ConfigError}. */
export function readBootstrap(settings: Settings): BootstrapConfig {
  const path = settings.text(BOOTSTRAP.bootstrapPath) || undefined;
  const offline = settings.flag(BOOTSTRAP.offline);
  if (offline && path === undefined) {
    const shown = settings.shown(BOOTSTRAP.offline);
    throw new ConfigError(
      `${shown} requires --bootstrap-path with the folder or file that has the config specs to serve`,
    );
  }
  return { path, offline };
}

/** The options of config specs in files, in the order of `--help`. */
export const BOOTSTRAP = {
  bootstrapPath: {
    name: "bootstrap-path",
    kind: "text",
    placeholder: "FOLDER|FILE",
    description:
      "Files with config specs, served if neither upstream nor the backup has any; read again when they change",
  },
  offline: {
    name: "offline",
    kind: "flag",
    description:
      "Serve config specs from --bootstrap-path only, and send no request to Statsig (as the subcommand offline)",
  },
} as const satisfies OptionGroup;
