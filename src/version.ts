import { RUNTIME } from "#runtime/about.ts";
import project from "../package.json" with { type: "json" };

/** The version of package.json, which is also sent to upstream. */
export const VERSION: string = project.version;

/** `bun run build` replaces this name by the commit. */
declare const SFP_BUILD_COMMIT: string;

/** The commit that the executable was built from, with `-dirty` if files differed, or "source" without a build. */
export const COMMIT: string = typeof SFP_BUILD_COMMIT === "string" ? SFP_BUILD_COMMIT : "source";

/** The output of `--version` after the name. Scripts read the version as the first word of it. */
export const VERSION_LINE = `${VERSION} (${COMMIT}, ${RUNTIME.name} ${RUNTIME.version})`;
