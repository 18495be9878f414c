import { version } from "../package.json";

/** The version of package.json, which is also sent to upstream. */
export const VERSION: string = version;

/** `bun run build` replaces this name by the commit. */
declare const SFP_BUILD_COMMIT: string;

/** The commit that the executable was built from, with `-dirty` if files differed, or "source" without a build. */
export const COMMIT: string = typeof SFP_BUILD_COMMIT === "string" ? SFP_BUILD_COMMIT : "source";

/** The version of Bun that is part of the executable. */
export const BUN_VERSION: string = process.versions["bun"] ?? "none";

/** The output of `--version` after the name. Scripts read the version as the first word of it. */
export const VERSION_LINE = `${VERSION} (${COMMIT}, Bun ${BUN_VERSION})`;
